#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "signature.h"
#include "worker.h"

#define SECTOR_SIZE 512u
#define FIND_POLLS_MAX 1000
#define FIND_POLL_NS 10000000L
#define SCAN_EVERY_POLLS 25
#define SCSI_HOSTS "/sys/class/scsi_host"

// --- finding --------------------------------------------------------------------------------------------------------

// Calls visit with each entry of a folder until it returns true.
static bool any_entry(const char *path, bool (*visit)(const char *name, void *context), void *context) {
  DIR *folder = opendir(path);
  if (folder == NULL) return false;
  bool found = false;
  struct dirent *entry;
  while (!found && (entry = readdir(folder)) != NULL) {
    if (entry->d_name[0] != '.') found = visit(entry->d_name, context);
  }
  closedir(folder);
  return found;
}

struct search {
  uint32_t target;
  uint32_t lun;
  struct disk *disk;
};

static bool scan_host(const char *host, void *context) {
  const struct search *search = context;
  cleanup_free char *path = memory_format(SCSI_HOSTS "/%s/scan", host);
  char address[64];
  snprintf(address, sizeof address, "0 %u %u", search->target, search->lun);
  file_write(path, address); // a host that refuses has no such disk: the search will tell
  return false;
}

static bool take_block_device(const char *name, void *context) {
  struct search *search = context;
  if (strlen(name) >= sizeof search->disk->name) return false;
  cleanup_free char *node = memory_format("/dev/%s", name);
  cleanup_free char *size_path = memory_format("/sys/class/block/%s/size", name);
  struct stat status;
  if (stat(node, &status) < 0 || !S_ISBLK(status.st_mode)) return false;
  search->disk->number = status.st_rdev;
  search->disk->size_bytes = file_read_number(size_path, 0) * SECTOR_SIZE;
  snprintf(search->disk->name, sizeof search->disk->name, "%s", name);
  return search->disk->size_bytes > 0;
}

static bool look_at_host(const char *host, void *context) {
  struct search *search = context;
  if (strncmp(host, "host", 4) != 0) return false;
  cleanup_free char *path = memory_format("/sys/bus/scsi/devices/%s:0:%u:%u/block", host + 4, search->target, search->lun);
  return any_entry(path, take_block_device, context);
}

// A disk that was there when the template was taken is another one in the clone: nothing the kernel remembers of it is true.
static bool look_again(struct search *search) {
  cleanup_free char *node = memory_format("/dev/%s", search->disk->name);
  cleanup_free char *path = memory_format("/sys/class/block/%s/device/rescan", search->disk->name);
  file_write(path, "1");
  cleanup_close int fd = open(node, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, BLKFLSBUF, 0) < 0) return false;
  return any_entry(SCSI_HOSTS, look_at_host, search);
}

int disk_find(uint32_t target, uint32_t lun, struct disk *disk, struct error *error) {
  struct search search = {target, lun, disk};
  for (int poll = 0; poll < FIND_POLLS_MAX; poll++) {
    if (any_entry(SCSI_HOSTS, look_at_host, &search) && look_again(&search)) return 0;
    if (poll % SCAN_EVERY_POLLS == 0) {
      any_entry(SCSI_HOSTS, scan_host, &search);
    } else {
      nanosleep(&(struct timespec){.tv_nsec = FIND_POLL_NS}, NULL);
    }
  }
  return error_set(error, CODE_DEADLINE, "no disk appeared at SCSI target %u lun %u", target, lun);
}

int disk_delete(const char *name, struct error *error) {
  cleanup_free char *path = memory_format("/sys/class/block/%s/device/delete", name);
  if (file_write(path, "1") < 0 && errno != ENOENT) return error_errno(error, "delete disk %s", name);
  return 0;
}

// --- tools ----------------------------------------------------------------------------------------------------------

static int run_tool(const char *tools, const char *const *arguments, uint32_t accepted_exit, struct error *error) {
  cleanup_free char *loader = memory_format("%s/lib/ld-linux-x86-64.so.2", tools);
  cleanup_free char *libraries = memory_format("%s/lib", tools);
  cleanup_free char *program = memory_format("%s/bin/%s", tools, arguments[0]);
  cleanup_free char *config = memory_format("MKE2FS_CONFIG=%s/etc/mke2fs.conf", tools);
  const char *command[16] = {loader, "--library-path", libraries, program};
  size_t count = 4;
  for (size_t index = 1; arguments[index] != NULL && count < 15; index++) command[count++] = arguments[index];
  const char *environment[] = {config, "PATH=/", NULL};
  return worker_exec(command, environment, accepted_exit, error);
}

static int format(const struct disk *disk, const struct disk_mount *request, struct error *error) {
  cleanup_free char *node = memory_format("/dev/%s", disk->name);
  if (request->tools == NULL) {
    return error_set(error, CODE_PRECONDITION, "disk %s is blank and no tools volume was given to format it", disk->name);
  }
  if (strcmp(request->fs_type, "ext4") == 0) {
    // Nothing reserved for root, nothing left to initialise in the background.
    const char *arguments[] = {"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", node, NULL};
    return run_tool(request->tools, arguments, 1u, error);
  }
  if (strcmp(request->fs_type, "xfs") == 0) {
    const char *arguments[] = {"mkfs.xfs", "-q", node, NULL};
    return run_tool(request->tools, arguments, 1u, error);
  }
  return error_set(error, CODE_INVALID, "file system '%.32s' cannot be made", request->fs_type);
}

// Brings an ext4 that was not unmounted back in order. 1: errors were corrected.
static int check(const struct disk *disk, const struct disk_mount *request, struct error *error) {
  if (request->tools == NULL || strcmp(request->fs_type, "ext4") != 0 || (request->flags & MS_RDONLY) != 0) return 0;
  cleanup_free char *node = memory_format("/dev/%s", disk->name);
  const char *arguments[] = {"fsck.ext4", "-p", node, NULL};
  return run_tool(request->tools, arguments, 1u << 0 | 1u << 1, error);
}

// xfs is no part of the first modules: it is large and rare. It comes from the tools volume.
static void load_file_system(const struct disk_mount *request) {
  if (request->tools == NULL) return;
  cleanup_free char *path = memory_format("%s/modules/%s.ko", request->tools, request->fs_type);
  cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) syscall(SYS_finit_module, fd, "", 0);
}

// --- mounting -------------------------------------------------------------------------------------------------------

static int prepare(const struct disk *disk, const struct disk_mount *request, bool *formatted, struct error *error) {
  cleanup_free char *node = memory_format("/dev/%s", disk->name);
  cleanup_close int fd = open(node, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return error_errno(error, "open disk %s", disk->name);
  const char *found = NULL;
  switch (signature_read(fd, disk->size_bytes, &found)) {
  case DISK_BLANK:
    if (!request->format_if_blank) return error_set(error, CODE_PRECONDITION, "disk %s is blank", disk->name);
    *formatted = true;
    return format(disk, request, error);
  case DISK_KNOWN:
    if (strcmp(found, request->fs_type) == 0) return check(disk, request, error);
    return error_set(error, CODE_PRECONDITION, "disk %s holds %s, not %s", disk->name, found, request->fs_type);
  case DISK_UNKNOWN:
    return error_set(error, CODE_PRECONDITION, "disk %s is not blank and holds nothing known, so no %s either", disk->name,
                     request->fs_type);
  case DISK_UNREADABLE:
  default:
    return error_set(error, CODE_INTERNAL, "disk %s cannot be read", disk->name);
  }
}

int disk_mount(const struct disk *disk, const struct disk_mount *request, bool *formatted, struct error *error) {
  *formatted = false;
  if (prepare(disk, request, formatted, error) < 0) return -1;
  load_file_system(request);
  cleanup_free char *node = memory_format("/dev/%s", disk->name);
  if (mkdir(request->place, 0755) < 0 && errno != EEXIST) return error_errno(error, "make %s", request->place);
  if (mount(node, request->place, request->fs_type, request->flags, request->data) < 0) {
    return error_errno(error, "mount disk %s as %s", disk->name, request->fs_type);
  }
  return 0;
}
