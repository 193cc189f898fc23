#include "rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "memory.h"
#include "mount-option.h"
#include "path.h"
#include "paths.h"

#define DEVICE_MODE 0666

void rootfs_plan_free(struct rootfs_plan *plan) {
  if (plan == NULL) return;
  free(plan->layers);
  free(plan->volume);
  free(plan->upper);
  free(plan->work);
  for (size_t index = 0; plan->sources != NULL && index < plan->create->n_mounts; index++) free(plan->sources[index].path);
  free(plan->sources);
  free(plan->device_numbers);
  free(plan);
}

// --- one mount ------------------------------------------------------------------------------------------------------

// mount(2) on a descriptor: no link can be put in the way between resolution and use.
static int mount_on(int place_fd, const char *type, unsigned long flags, const char *options) {
  char place[64];
  snprintf(place, sizeof place, "/proc/self/fd/%d", place_fd);
  return mount(type, place, type, flags, options);
}

static int set_attributes(int fd, const struct mount_attr *attributes, bool recursive) {
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return (int)syscall(SYS_mount_setattr, fd, "", flags, attributes, sizeof *attributes);
}

static bool is_folder(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

// Binds what source_fd names to destination in the container, making the destination as needed.
static int bind_to(int root_fd, int source_fd, const char *destination, const struct mount_attr *attributes, bool recursive) {
  cleanup_close int place = path_make_in_root(root_fd, destination, is_folder(source_fd) ? PATH_FOLDER : PATH_FILE);
  if (place < 0) return -1;
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  cleanup_close int tree = open_tree(source_fd, "", flags);
  if (tree < 0) return -1;
  if (set_attributes(tree, attributes, recursive) < 0) return -1;
  return move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int bind_path(int root_fd, const char *source, const char *destination, uint64_t attributes) {
  cleanup_close int source_fd = open(source, O_PATH | O_CLOEXEC);
  if (source_fd < 0) return -1;
  return bind_to(root_fd, source_fd, destination, &(struct mount_attr){.attr_set = attributes}, false);
}

static int mount_kernel(int root_fd, const char *type, const char *destination, unsigned long flags, const char *options) {
  cleanup_close int place = path_make_in_root(root_fd, destination, PATH_FOLDER);
  if (place < 0) return -1;
  return mount_on(place, type, flags, options);
}

// --- default mounts -------------------------------------------------------------------------------------------------

static int make_node(int root_fd, const char *path, mode_t mode, dev_t device) {
  cleanup_free char *copy = memory_copy_string(path);
  char *slash = strrchr(copy, '/');
  cleanup_close int folder = -1;
  const char *name = copy;
  if (slash == NULL) {
    folder = path_open_in_root(root_fd, ".");
  } else {
    *slash = '\0';
    name = slash + 1;
    folder = path_make_in_root(root_fd, copy, PATH_FOLDER);
  }
  if (folder < 0) return -1;
  unlinkat(folder, name, 0);
  if (mknodat(folder, name, mode, device) < 0) return -1;
  return fchmodat(folder, name, mode & 07777, 0);
}

static int fill_dev(int root_fd, struct error *error) {
  static const struct {
    const char *path;
    unsigned minor;
    unsigned major;
  } nodes[] = {{"/dev/null", 3, 1},   {"/dev/zero", 5, 1},    {"/dev/full", 7, 1},
               {"/dev/random", 8, 1}, {"/dev/urandom", 9, 1}, {"/dev/tty", 0, 5}};
  static const char *const links[][2] = {{"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
                                         {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
                                         {"/proc/kcore", "core"},       {"pts/ptmx", "ptmx"}};
  for (size_t index = 0; index < sizeof nodes / sizeof nodes[0]; index++) {
    if (make_node(root_fd, nodes[index].path, S_IFCHR | DEVICE_MODE, makedev(nodes[index].major, nodes[index].minor)) < 0) {
      return error_errno(error, "make %s", nodes[index].path);
    }
  }
  cleanup_close int dev = path_open_in_root(root_fd, "/dev");
  for (size_t index = 0; index < sizeof links / sizeof links[0]; index++) {
    if (symlinkat(links[index][0], dev, links[index][1]) < 0) return error_errno(error, "link /dev/%s", links[index][1]);
  }
  return 0;
}

static int mount_dev(int root_fd, bool privileged, struct error *error) {
  // A privileged container has every device of the machine: the kernel's own list of them.
  const char *type = privileged ? "devtmpfs" : "tmpfs";
  const char *options = privileged ? NULL : "mode=0755,size=65536k";
  if (mount_kernel(root_fd, type, "/dev", MS_NOSUID | MS_STRICTATIME, options) < 0) return error_errno(error, "mount /dev");
  if (!privileged && fill_dev(root_fd, error) < 0) return -1;
  if (mount_kernel(root_fd, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5") < 0) {
    return error_errno(error, "mount /dev/pts");
  }
  if (mount_kernel(root_fd, "mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
    return error_errno(error, "mount /dev/mqueue");
  }
  if (bind_path(root_fd, PATH_SHM, "/dev/shm", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) < 0) {
    return error_errno(error, "mount /dev/shm");
  }
  return 0;
}

static int mount_defaults(int root_fd, bool privileged, struct error *error) {
  const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const unsigned long system = safe | (privileged ? 0 : MS_RDONLY);
  if (mount_kernel(root_fd, "proc", "/proc", safe, NULL) < 0) return error_errno(error, "mount /proc");
  if (mount_dev(root_fd, privileged, error) < 0) return -1;
  if (mount_kernel(root_fd, "sysfs", "/sys", system, NULL) < 0) return error_errno(error, "mount /sys");
  if (mount_kernel(root_fd, "cgroup2", "/sys/fs/cgroup", system, NULL) < 0) return error_errno(error, "mount /sys/fs/cgroup");
  return 0;
}

static bool is_mounted_by_request(const Hyperstart__V1__CreateContainer *create, const char *destination) {
  for (size_t index = 0; index < create->n_mounts; index++) {
    if (path_equals(create->mounts[index]->destination, destination)) return true;
  }
  return false;
}

static int mount_pod_files(int root_fd, const Hyperstart__V1__CreateContainer *create, struct error *error) {
  static const char *const files[][2] = {{PATH_POD_FILES "/resolv.conf", "/etc/resolv.conf"},
                                         {PATH_POD_FILES "/hosts", "/etc/hosts"},
                                         {PATH_POD_FILES "/hostname", "/etc/hostname"}};
  for (size_t index = 0; index < sizeof files / sizeof files[0]; index++) {
    if (is_mounted_by_request(create, files[index][1])) continue;
    uint64_t attributes = create->read_only_rootfs ? MOUNT_ATTR_RDONLY : 0;
    if (bind_path(root_fd, files[index][0], files[index][1], attributes) < 0) {
      return error_errno(error, "mount %s", files[index][1]);
    }
  }
  return 0;
}

// --- the container's own mounts -------------------------------------------------------------------------------------

static uint64_t propagation_of(const char *name) {
  if (strcmp(name, "rslave") == 0) return MS_SLAVE;
  if (strcmp(name, "rshared") == 0) return MS_SHARED;
  return MS_PRIVATE;
}

static int bind_request(int root_fd, const Hyperstart__V1__Mount *request, const char *source, struct error *error) {
  cleanup_close int source_root = open(source, O_PATH | O_CLOEXEC);
  if (source_root < 0) return error_errno(error, "mount %s: open its source", request->destination);
  cleanup_close int source_fd = path_make_in_root(source_root, request->sub_path, PATH_FOLDER);
  if (source_fd < 0) return error_errno(error, "mount %s: sub path '%.200s'", request->destination, request->sub_path);
  struct mount_option options = {0};
  if (mount_options_parse(request->options, request->n_options, &options, error) < 0) return -1;
  struct mount_attr attributes = {.attr_set = options.attributes | (request->read_only ? MOUNT_ATTR_RDONLY : 0),
                                  .propagation = propagation_of(request->propagation)};
  if (bind_to(root_fd, source_fd, request->destination, &attributes, true) < 0) {
    return error_errno(error, "mount %s", request->destination);
  }
  return 0;
}

static int mount_tmpfs(int root_fd, const Hyperstart__V1__Mount *request, struct error *error) {
  struct mount_option options = {0};
  char *text = request->tmpfs;
  if (mount_options_parse(request->options, request->n_options, &options, error) < 0) return -1;
  cleanup_free char *copy = memory_copy_string(text);
  if (mount_options_split(copy, &options, error) < 0) return -1;
  unsigned long flags = options.flags | (request->read_only ? MS_RDONLY : 0);
  if (mount_kernel(root_fd, "tmpfs", request->destination, flags, options.data) < 0) {
    return error_errno(error, "mount tmpfs on %s", request->destination);
  }
  return 0;
}

static int mount_kernel_request(int root_fd, const Hyperstart__V1__Mount *request, struct error *error) {
  static const char *const allowed[] = {"proc", "sysfs", "cgroup2", "devpts", "mqueue"};
  for (size_t index = 0; index < sizeof allowed / sizeof allowed[0]; index++) {
    if (strcmp(request->kernel_fs, allowed[index]) != 0) continue;
    struct mount_option options = {0};
    if (mount_options_parse(request->options, request->n_options, &options, error) < 0) return -1;
    unsigned long flags = options.flags | (request->read_only ? MS_RDONLY : 0);
    if (mount_kernel(root_fd, allowed[index], request->destination, flags, options.data) < 0) {
      return error_errno(error, "mount %s on %s", allowed[index], request->destination);
    }
    return 0;
  }
  return error_set(error, CODE_INVALID, "mount %s: kernel file system '%.64s' is not one of proc, sysfs, cgroup2, devpts, mqueue",
                   request->destination, request->kernel_fs);
}

static int mount_request(int root_fd, const Hyperstart__V1__Mount *request, const struct mount_source *source,
                         struct error *error) {
  switch (request->source_case) {
  case HYPERSTART__V1__MOUNT__SOURCE_TMPFS:
    return mount_tmpfs(root_fd, request, error);
  case HYPERSTART__V1__MOUNT__SOURCE_KERNEL_FS:
    return mount_kernel_request(root_fd, request, error);
  default:
    return bind_request(root_fd, request, source->path, error);
  }
}

// --- paths hidden and write-protected -------------------------------------------------------------------------------

static int mask(int root_fd, const char *path, struct error *error) {
  cleanup_close int place = path_open_in_root(root_fd, path);
  if (place < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return 0;
    return error_errno(error, "mask %s", path);
  }
  int result = is_folder(place) ? mount_on(place, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0")
                                : bind_path(root_fd, "/dev/null", path, 0);
  return result < 0 ? error_errno(error, "mask %s", path) : 0;
}

static int protect(int root_fd, const char *path, struct error *error) {
  cleanup_close int place = path_open_in_root(root_fd, path);
  if (place < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return 0;
    return error_errno(error, "write-protect %s", path);
  }
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  if (bind_to(root_fd, place, path, &attributes, true) < 0) return error_errno(error, "write-protect %s", path);
  return 0;
}

static int make_devices(int root_fd, const struct rootfs_plan *plan, struct error *error) {
  for (size_t index = 0; index < plan->create->n_devices; index++) {
    const Hyperstart__V1__Device *device = plan->create->devices[index];
    bool block = *device->volume_id != '\0' || strcmp(device->type, "b") == 0;
    mode_t mode = (block ? S_IFBLK : S_IFCHR) | (device->mode != 0 ? device->mode & 0777 : DEVICE_MODE);
    if (make_node(root_fd, device->path, mode, plan->device_numbers[index]) < 0) {
      return error_errno(error, "make device %s", device->path);
    }
    cleanup_close int node = path_open_in_root(root_fd, device->path);
    if (node < 0 || fchownat(node, "", device->uid, device->gid, AT_EMPTY_PATH) < 0) {
      return error_errno(error, "give device %s to its owner", device->path);
    }
  }
  return 0;
}

// --- all of it ------------------------------------------------------------------------------------------------------

static int mount_root(const struct rootfs_plan *plan, struct error *error) {
  if (plan->volume != NULL) {
    if (mount(plan->volume, PATH_ROOTFS, NULL, MS_BIND | MS_REC, NULL) < 0) return error_errno(error, "bind the root volume");
    return 0;
  }
  // Options off that would make the upper folder depend on this very mount: layers are put together anew after a restart.
  cleanup_free char *options =
      memory_format("lowerdir=%s,upperdir=%s,workdir=%s,index=off,metacopy=off,redirect_dir=off,xino=off", plan->layers,
                    plan->upper, plan->work);
  if (mount("overlay", PATH_ROOTFS, "overlay", 0, options) < 0) return error_errno(error, "overlay the image layers");
  return 0;
}

int rootfs_build(const struct rootfs_plan *plan, struct error *error) {
  const Hyperstart__V1__CreateContainer *create = plan->create;
  if (mount_root(plan, error) < 0) return -1;
  cleanup_close int root_fd = open(PATH_ROOTFS, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd < 0) return error_errno(error, "open the root of the container");
  if (mount_defaults(root_fd, create->privileged, error) < 0) return -1;
  if (plan->set_hostname_files && mount_pod_files(root_fd, create, error) < 0) return -1;
  for (size_t index = 0; index < create->n_mounts; index++) {
    if (mount_request(root_fd, create->mounts[index], &plan->sources[index], error) < 0) return -1;
  }
  if (make_devices(root_fd, plan, error) < 0) return -1;
  for (size_t index = 0; index < create->n_read_only_paths; index++) {
    if (protect(root_fd, create->read_only_paths[index], error) < 0) return -1;
  }
  for (size_t index = 0; index < create->n_masked_paths; index++) {
    if (mask(root_fd, create->masked_paths[index], error) < 0) return -1;
  }
  if (!create->read_only_rootfs) return 0;
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  if (set_attributes(root_fd, &attributes, false) < 0) return error_errno(error, "make the root read-only");
  return 0;
}

int rootfs_enter(struct error *error) {
  if (chdir(PATH_ROOTFS) < 0) return error_errno(error, "enter the root of the container");
  // Old root on top of the new one, then detached: no folder is needed for it.
  if (syscall(SYS_pivot_root, ".", ".") < 0) return error_errno(error, "pivot_root");
  if (umount2(".", MNT_DETACH) < 0) return error_errno(error, "detach the old root");
  if (chdir("/") < 0) return error_errno(error, "enter the new root");
  return 0;
}
