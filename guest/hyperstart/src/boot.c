#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "memory.h"
#include "paths.h"

#define PORT_NAME "hyperstart.v1"
#define MODULES_FOLDER "/modules"
#define PORT_POLL_NS 2000000L
#define PORT_POLLS_MAX 30000 // one minute: after that the machine has no such port
#define DESCRIPTORS_MAX 65536

static void must_mount(const char *type, const char *place, unsigned long flags, const char *options) {
  mkdir(place, 0755);
  if (mount(type, place, type, flags, options) < 0) log_line("mount %s on %s: %s", type, place, strerror(errno));
}

// The kernel unpacks us into its root file system, which can be no container's old root in pivot_root: move to a tmpfs over it.
static void leave_initial_root(void) {
  mkdir("/root", 0755);
  if (mount("root", "/root", "tmpfs", 0, "mode=0755,size=16m") < 0) log_line("mount root: %s", strerror(errno));
  if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) {
    log_line("change of root: %s", strerror(errno));
  }
}

static void open_console(void) {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return;
  for (int target = STDIN_FILENO; target <= STDERR_FILENO; target++) {
    if (fd != target) dup2(fd, target);
  }
  if (fd > STDERR_FILENO) close(fd);
}

void boot_file_systems(void) {
  umask(0);
  must_mount("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  open_console();
}

// Standard folders of the tmpfs root, after the modules were read from the initial one.
static void mount_all(void) {
  leave_initial_root();
  must_mount("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  must_mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  must_mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  must_mount("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate");
  must_mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mkdir("/dev/shm", 01777);
  mkdir("/dev/mqueue", 0755);
  mkdir("/run", 0755);
  must_mount("tmpfs", PATH_RUN, MS_NOSUID | MS_NODEV, "mode=0700,size=75%");
  static const char *const folders[] = {PATH_VOLUMES, PATH_FILE_SETS, PATH_MEMORY_FILE_SETS, PATH_MEMORY_DIRS,
                                        PATH_SCRATCH, PATH_ROOTFS,    PATH_POD_FILES,        PATH_SHM};
  for (size_t index = 0; index < sizeof folders / sizeof folders[0]; index++) mkdir(folders[index], 0755);
  mkdir("/etc", 0755);
  mkdir("/tmp", 01777);
  // Nothing a container mounts may come back here, nothing mounted here later concerns a container that runs.
  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static void load_module(const char *name) {
  cleanup_free char *path = memory_format(MODULES_FOLDER "/%s", name);
  cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) {
    log_line("module %s: %s", name, strerror(errno));
  }
  unlink(path); // its memory is free from here on
}

void boot_modules(void) {
  cleanup_free char *list = file_read("/modules.list", 65536);
  if (list == NULL) {
    log_line("no list of modules");
  } else {
    char *rest = NULL;
    for (char *name = strtok_r(list, "\n", &rest); name != NULL; name = strtok_r(NULL, "\n", &rest)) load_module(name);
  }
  mount_all();
}

static void set_kernel_value(const char *path, const char *value) {
  if (file_write(path, value) < 0) log_line("%s: %s", path, strerror(errno));
}

void boot_defaults(void) {
  set_kernel_value("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids +cpuset +io");
  mkdir(PATH_CGROUP_POD, 0755);
  set_kernel_value(PATH_CGROUP_POD "/cgroup.subtree_control", "+cpu +memory +pids +cpuset +io");
  // Addresses are the host's business: no autoconfiguration, no waiting for duplicates of an address that is ours alone.
  set_kernel_value("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
  set_kernel_value("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
  set_kernel_value("/proc/sys/net/ipv6/conf/default/autoconf", "0");
  set_kernel_value("/proc/sys/net/ipv4/conf/default/arp_notify", "1");
  // Addresses of services are local without being ours: the network must not hear of them.
  set_kernel_value("/proc/sys/net/ipv4/conf/all/arp_ignore", "1");
  set_kernel_value("/proc/sys/net/ipv4/conf/all/arp_announce", "2");
  // An address may go before another one of its subnet that came later.
  set_kernel_value("/proc/sys/net/ipv4/conf/all/promote_secondaries", "1");
  // A server that is gone takes its connections with it, also those a client sticks to.
  set_kernel_value("/proc/sys/net/ipv4/vs/expire_nodest_conn", "1");
  set_kernel_value("/proc/sys/net/ipv4/vs/expire_quiescent_template", "1");
  set_kernel_value("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  set_kernel_value("/proc/sys/kernel/panic_on_oops", "1");
  set_kernel_value("/proc/sys/kernel/core_pattern", "core");
  struct rlimit descriptors = {.rlim_cur = DESCRIPTORS_MAX, .rlim_max = DESCRIPTORS_MAX};
  setrlimit(RLIMIT_NOFILE, &descriptors);
}

// The device of the port with our name, as /dev/<name>; false if there is none yet.
static bool find_port(char *device, size_t size) {
  DIR *folder = opendir("/sys/class/virtio-ports");
  if (folder == NULL) return false;
  bool found = false;
  struct dirent *entry;
  while (!found && (entry = readdir(folder)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    cleanup_free char *path = memory_format("/sys/class/virtio-ports/%s/name", entry->d_name);
    cleanup_free char *name = file_read(path, 128);
    if (name == NULL) continue;
    name[strcspn(name, "\n")] = '\0';
    if (strcmp(name, PORT_NAME) != 0) continue;
    snprintf(device, size, "/dev/%s", entry->d_name);
    found = true;
  }
  closedir(folder);
  return found;
}

int boot_port(void) {
  char device[288];
  for (int poll = 0; poll < PORT_POLLS_MAX; poll++) {
    if (find_port(device, sizeof device)) {
      int fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
      if (fd >= 0) return fd;
    }
    nanosleep(&(struct timespec){.tv_nsec = PORT_POLL_NS}, NULL);
  }
  log_line("this machine has no virtio-serial port named " PORT_NAME);
  abort();
}
