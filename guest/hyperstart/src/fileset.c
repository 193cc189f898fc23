#include "fileset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"
#include "identifier.h"
#include "memory.h"
#include "path.h"
#include "paths.h"
#include "sandbox.h"

#define READ_MAX 65536u
#define PERMISSIONS 07777u

// <base>/<id>/mount is what containers see and may write to; <base>/<id>/staging is ours alone until it is committed.
struct fileset {
  struct fileset *next;
  char *id;
  char *folder;
  uint64_t committed; // 0: none yet
  uint64_t staged;    // 0: none
};

static struct fileset *filesets;
static size_t fileset_count;

static struct fileset *fileset_find(const char *id) {
  for (struct fileset *set = filesets; set != NULL; set = set->next) {
    if (strcmp(set->id, id) == 0) return set;
  }
  return NULL;
}

static int open_beneath(int folder_fd, const char *path, uint64_t flags, mode_t mode) {
  struct open_how how = {
      .flags = flags | O_CLOEXEC, .mode = mode, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, folder_fd, path, &how, sizeof how);
}

static int open_folder(const struct fileset *set, const char *name) {
  cleanup_free char *path = memory_format("%s/%s", set->folder, name);
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static struct fileset *fileset_add(const Hyperstart__V1__PutFiles *request, struct error *error) {
  const char *base = request->in_memory      ? PATH_MEMORY_FILE_SETS
                     : sandbox_has_scratch() ? PATH_SCRATCH "/file-sets"
                                             : PATH_FILE_SETS;
  cleanup_free char *mount = memory_format("%s/%s/mount", base, request->set_id);
  if (file_make_folders(mount, 0755) < 0) {
    error_errno(error, "make file set %s", request->set_id);
    return NULL;
  }
  struct fileset *set = memory_alloc(sizeof *set);
  set->id = memory_copy_string(request->set_id);
  set->folder = memory_format("%s/%s", base, request->set_id);
  set->next = filesets;
  filesets = set;
  fileset_count++;
  return set;
}

// --- pieces ---------------------------------------------------------------------------------------------------------

static int make_parents(int staging_fd, const char *path) {
  cleanup_free char *copy = memory_copy_string(path);
  for (char *slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    int made = mkdirat(staging_fd, copy, 0755);
    *slash = '/';
    if (made < 0 && errno != EEXIST) return -1;
  }
  return 0;
}

static int write_piece(int staging_fd, const Hyperstart__V1__File *file) {
  uint64_t flags = O_WRONLY | O_CREAT | (file->offset == 0 ? O_TRUNC : 0);
  cleanup_close int fd = open_beneath(staging_fd, file->path, flags, 0600);
  if (fd < 0) return -1;
  if (lseek(fd, (off_t)file->offset, SEEK_SET) < 0) return -1;
  if (file_write_all(fd, file->data.data, file->data.len) < 0) return -1;
  if (fchown(fd, file->uid, file->gid) < 0) return -1;
  return fchmod(fd, file->mode & PERMISSIONS);
}

static int write_link(int staging_fd, const Hyperstart__V1__File *file) {
  if (symlinkat(file->symlink_target, staging_fd, file->path) < 0 && errno != EEXIST) return -1;
  return fchownat(staging_fd, file->path, file->uid, file->gid, AT_SYMLINK_NOFOLLOW);
}

static int put_file(int staging_fd, const char *set_id, const Hyperstart__V1__File *file, struct error *error) {
  if (!path_is_plain_relative(file->path) || strncmp(file->path, "..", 2) == 0) {
    return error_set(error, CODE_INVALID, "file set %s: path '%.200s' is not a plain relative one", set_id, file->path);
  }
  bool link = *file->symlink_target != '\0';
  if (make_parents(staging_fd, file->path) < 0 || (link ? write_link(staging_fd, file) : write_piece(staging_fd, file)) < 0) {
    return error_errno(error, "file set %s: write %s", set_id, file->path);
  }
  return 0;
}

static int stage(struct fileset *set, uint64_t generation, struct error *error) {
  if (set->staged == generation) return 0;
  cleanup_free char *staging = memory_format("%s/staging", set->folder);
  if (file_remove_tree(AT_FDCWD, staging) < 0 || mkdir(staging, 0755) < 0)
    return error_errno(error, "stage file set %s", set->id);
  set->staged = generation;
  return 0;
}

// --- commit ---------------------------------------------------------------------------------------------------------

static int replace_link(int mount_fd, const char *target, const char *name) {
  char present[PATH_LENGTH_MAX + 1];
  ssize_t length = readlinkat(mount_fd, name, present, sizeof present - 1);
  if (length >= 0) {
    present[length] = '\0';
    if (strcmp(present, target) == 0) return 0;
  }
  static const char temporary[] = "..link";
  unlinkat(mount_fd, temporary, 0);
  if (symlinkat(target, mount_fd, temporary) < 0) return -1;
  return renameat(mount_fd, temporary, mount_fd, name);
}

// Calls visit for each entry of a folder.
static int each_entry(int folder_fd, int (*visit)(const char *name, void *context), void *context) {
  int copy = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = copy < 0 ? NULL : fdopendir(copy);
  if (folder == NULL) {
    if (copy >= 0) close(copy);
    return -1;
  }
  int result = 0;
  struct dirent *entry;
  while (result == 0 && (entry = readdir(folder)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) result = visit(entry->d_name, context);
  }
  closedir(folder);
  return result;
}

struct commit {
  int mount_fd;
  int generation_fd;
  const char *generation_name;
};

static int link_entry(const char *name, void *context) {
  const struct commit *commit = context;
  cleanup_free char *target = memory_format("..data/%s", name);
  return replace_link(commit->mount_fd, target, name);
}

// What the new generation does not have: links of old names, folders of old generations.
static int remove_stale(const char *name, void *context) {
  const struct commit *commit = context;
  if (strcmp(name, "..data") == 0 || strcmp(name, commit->generation_name) == 0) return 0;
  struct stat status;
  if (strncmp(name, "..", 2) != 0 && fstatat(commit->generation_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) return 0;
  file_remove_tree(commit->mount_fd, name); // what cannot go is in nobody's way
  return 0;
}

static int commit_set(struct fileset *set, struct error *error) {
  cleanup_close int folder_fd = open(set->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_close int mount_fd = open_folder(set, "mount");
  char name[32];
  snprintf(name, sizeof name, "..%" PRIu64, set->staged);
  if (folder_fd < 0 || mount_fd < 0 || file_remove_tree(mount_fd, name) < 0 ||
      renameat(folder_fd, "staging", mount_fd, name) < 0) {
    return error_errno(error, "commit file set %s", set->id);
  }
  cleanup_close int generation_fd = open_beneath(mount_fd, name, O_RDONLY | O_DIRECTORY, 0);
  struct commit commit = {mount_fd, generation_fd, name};
  if (generation_fd < 0 || replace_link(mount_fd, name, "..data") < 0 || each_entry(generation_fd, link_entry, &commit) < 0 ||
      each_entry(mount_fd, remove_stale, &commit) < 0) {
    return error_errno(error, "make the files of set %s visible", set->id);
  }
  set->committed = set->staged;
  set->staged = 0;
  return 0;
}

int fileset_put(const Hyperstart__V1__PutFiles *request, struct error *error) {
  if (identifier_check("file set id", request->set_id, error) < 0) return -1;
  if (request->generation == 0) return error_set(error, CODE_INVALID, "file set %s: generation 0", request->set_id);
  struct fileset *set = fileset_find(request->set_id);
  if (set == NULL) set = fileset_add(request, error);
  if (set == NULL) return -1;
  if (request->generation <= set->committed || request->generation < set->staged) return 0;
  if (stage(set, request->generation, error) < 0) return -1;
  cleanup_close int staging_fd = open_folder(set, "staging");
  if (staging_fd < 0) return error_errno(error, "open the staging folder of file set %s", set->id);
  for (size_t index = 0; index < request->n_files; index++) {
    if (put_file(staging_fd, set->id, request->files[index], error) < 0) return -1;
  }
  return request->commit ? commit_set(set, error) : 0;
}

int fileset_remove(const char *set_id, struct error *error) {
  for (struct fileset **at = &filesets; *at != NULL; at = &(*at)->next) {
    struct fileset *set = *at;
    if (strcmp(set->id, set_id) != 0) continue;
    if (file_remove_tree(AT_FDCWD, set->folder) < 0) return error_errno(error, "remove file set %s", set_id);
    *at = set->next;
    fileset_count--;
    free(set->id);
    free(set->folder);
    free(set);
    return 0;
  }
  return 0;
}

char *fileset_path(const char *set_id) {
  const struct fileset *set = fileset_find(set_id);
  return set == NULL || set->committed == 0 ? NULL : memory_format("%s/mount", set->folder);
}

size_t fileset_ids(char ***ids) {
  *ids = memory_alloc(fileset_count * sizeof **ids);
  size_t count = 0;
  for (const struct fileset *set = filesets; set != NULL; set = set->next) {
    if (set->committed != 0) (*ids)[count++] = set->id;
  }
  return count;
}

// --- reading back ---------------------------------------------------------------------------------------------------

static uint8_t *read_end(int fd, const Hyperstart__V1__GetFile *request, size_t *length, struct error *error) {
  struct stat status;
  if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
    error_set(error, CODE_NOT_FOUND, "'%.200s' of file set %s is no regular file", request->path, request->set_id);
    return NULL;
  }
  size_t limit = request->max_bytes == 0 || request->max_bytes > READ_MAX ? READ_MAX : request->max_bytes;
  size_t size = (uint64_t)status.st_size < limit ? (size_t)status.st_size : limit;
  uint8_t *data = memory_alloc(size);
  ssize_t got = pread(fd, data, size, status.st_size - (off_t)size);
  if (got < 0) {
    error_errno(error, "read '%.200s' of file set %s", request->path, request->set_id);
    free(data);
    return NULL;
  }
  *length = (size_t)got;
  return data;
}

uint8_t *fileset_read(const Hyperstart__V1__GetFile *request, size_t *length, struct error *error) {
  const struct fileset *set = fileset_find(request->set_id);
  if (set == NULL || set->committed == 0) {
    error_set(error, CODE_NOT_FOUND, "file set '%.128s' does not exist", request->set_id);
    return NULL;
  }
  if (!path_is_plain_relative(request->path)) {
    error_set(error, CODE_INVALID, "path '%.200s' is not a plain relative one", request->path);
    return NULL;
  }
  cleanup_close int mount_fd = open_folder(set, "mount");
  cleanup_free char *path = memory_format("..%" PRIu64 "/%s", set->committed, request->path);
  cleanup_close int fd = mount_fd < 0 ? -1 : open_beneath(mount_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0) {
    error_errno(error, "open '%.200s' of file set %s", request->path, request->set_id);
    return NULL;
  }
  return read_end(fd, request, length, error);
}
