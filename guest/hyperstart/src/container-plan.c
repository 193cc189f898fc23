#include "container-plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file.h"
#include "fileset.h"
#include "identifier.h"
#include "memory.h"
#include "path.h"
#include "paths.h"
#include "sandbox.h"
#include "volume.h"

#define OVERLAY_OPTIONS_MAX 3800u // one page of mount data, less the other options

// --- folders for emptyDir -------------------------------------------------------------------------------------------

// World-writable as Kubernetes makes them; with a group all files in it belong to that group.
static int give_to_group(const char *path, int64_t group) {
  if (group <= 0) return chmod(path, 0777);
  if (chown(path, (uid_t)-1, (gid_t)group) < 0) return -1;
  return chmod(path, 02777);
}

static char *make_empty_dir(const Hyperstart__V1__Mount *request, struct error *error) {
  if (identifier_check("empty dir id", request->empty_dir_id, error) < 0) return NULL;
  char *path = memory_format(PATH_SCRATCH "/empty-dirs/%s", request->empty_dir_id);
  struct stat status;
  if (stat(path, &status) == 0) return path;
  if (file_make_folders(path, 0755) < 0 || give_to_group(path, request->fs_group) < 0) {
    error_errno(error, "make empty dir %s", request->empty_dir_id);
    free(path);
    return NULL;
  }
  return path;
}

static char *make_memory_dir(const Hyperstart__V1__Mount *request, struct error *error) {
  if (identifier_check("memory dir id", request->memory_dir_id, error) < 0) return NULL;
  char *path = memory_format(PATH_MEMORY_DIRS "/%s", request->memory_dir_id);
  if (mkdir(path, 0755) < 0) {
    if (errno == EEXIST) return path;
    error_errno(error, "make memory dir %s", request->memory_dir_id);
    free(path);
    return NULL;
  }
  char options[64] = "mode=0777";
  if (request->size_bytes != 0) snprintf(options, sizeof options, "mode=0777,size=%llu", (unsigned long long)request->size_bytes);
  if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 || give_to_group(path, request->fs_group) < 0) {
    error_errno(error, "mount memory dir %s", request->memory_dir_id);
    umount2(path, MNT_DETACH);
    rmdir(path);
    free(path);
    return NULL;
  }
  return path;
}

// --- sources --------------------------------------------------------------------------------------------------------

static int plan_source(const Hyperstart__V1__Mount *request, struct mount_source *source, struct error *error) {
  if (request->destination[0] != '/' || strlen(request->destination) > PATH_LENGTH_MAX) {
    return error_set(error, CODE_INVALID, "mount '%.200s': the destination must be an absolute path", request->destination);
  }
  switch (request->source_case) {
  case HYPERSTART__V1__MOUNT__SOURCE_VOLUME_ID:
    source->path = volume_path(request->volume_id);
    if (source->path != NULL) return 0;
    return error_set(error, CODE_NOT_FOUND, "mount %s: volume '%.128s' is not mounted", request->destination, request->volume_id);
  case HYPERSTART__V1__MOUNT__SOURCE_FILE_SET_ID:
    source->path = fileset_path(request->file_set_id);
    if (source->path != NULL) return 0;
    return error_set(error, CODE_NOT_FOUND, "mount %s: there is no file set '%.128s'", request->destination,
                     request->file_set_id);
  case HYPERSTART__V1__MOUNT__SOURCE_EMPTY_DIR_ID:
    source->path = make_empty_dir(request, error);
    return source->path == NULL ? -1 : 0;
  case HYPERSTART__V1__MOUNT__SOURCE_MEMORY_DIR_ID:
    source->path = make_memory_dir(request, error);
    return source->path == NULL ? -1 : 0;
  case HYPERSTART__V1__MOUNT__SOURCE_TMPFS:
  case HYPERSTART__V1__MOUNT__SOURCE_KERNEL_FS:
    return 0;
  default:
    return error_set(error, CODE_INVALID, "mount %s names no source", request->destination);
  }
}

static int plan_device(const Hyperstart__V1__Device *device, dev_t *number, struct error *error) {
  if (device->path[0] != '/') return error_set(error, CODE_INVALID, "device '%.200s': the path must be absolute", device->path);
  if (*device->volume_id == '\0') {
    *number = makedev(device->major, device->minor);
    return 0;
  }
  *number = volume_device(device->volume_id);
  if (*number != 0) return 0;
  return error_set(error, CODE_NOT_FOUND, "device %s: volume '%.128s' is not attached", device->path, device->volume_id);
}

// --- root -----------------------------------------------------------------------------------------------------------

// overlayfs wants the topmost layer first; the contract has the lowest first.
static char *join_layers(const Hyperstart__V1__CreateContainer *request, struct error *error) {
  char *joined = memory_copy_string("");
  for (size_t left = request->n_layer_volume_ids; left > 0; left--) {
    const char *id = request->layer_volume_ids[left - 1];
    cleanup_free char *path = volume_path(id);
    if (path == NULL) {
      error_set(error, CODE_NOT_FOUND, "container %s: layer volume '%.128s' is not mounted", request->container_id, id);
      free(joined);
      return NULL;
    }
    char *longer = memory_format("%s%s%s", joined, *joined == '\0' ? "" : ":", path);
    free(joined);
    joined = longer;
  }
  if (*joined == '\0' || strlen(joined) > OVERLAY_OPTIONS_MAX) {
    error_set(error, CODE_INVALID, "container %s: %zu layers cannot be overlaid", request->container_id,
              request->n_layer_volume_ids);
    free(joined);
    return NULL;
  }
  return joined;
}

static int plan_root(struct rootfs_plan *plan, struct error *error) {
  const Hyperstart__V1__CreateContainer *request = plan->create;
  if (*request->rootfs_volume_id != '\0') {
    plan->volume = volume_path(request->rootfs_volume_id);
    if (plan->volume != NULL) return 0;
    return error_set(error, CODE_NOT_FOUND, "container %s: root volume '%.128s' is not mounted", request->container_id,
                     request->rootfs_volume_id);
  }
  plan->layers = join_layers(request, error);
  if (plan->layers == NULL) return -1;
  plan->upper = memory_format(PATH_SCRATCH "/containers/%s/upper", request->container_id);
  plan->work = memory_format(PATH_SCRATCH "/containers/%s/work", request->container_id);
  if (file_make_folders(plan->upper, 0755) < 0 || file_make_folders(plan->work, 0755) < 0) {
    return error_errno(error, "make the writable folder of container %s", request->container_id);
  }
  return 0;
}

static int plan_all(struct rootfs_plan *plan, struct error *error) {
  const Hyperstart__V1__CreateContainer *request = plan->create;
  if (plan_root(plan, error) < 0) return -1;
  for (size_t index = 0; index < request->n_mounts; index++) {
    if (plan_source(request->mounts[index], &plan->sources[index], error) < 0) return -1;
  }
  for (size_t index = 0; index < request->n_devices; index++) {
    if (plan_device(request->devices[index], &plan->device_numbers[index], error) < 0) return -1;
  }
  return 0;
}

struct rootfs_plan *container_plan(const Hyperstart__V1__CreateContainer *request, struct error *error) {
  struct rootfs_plan *plan = memory_alloc(sizeof *plan);
  plan->create = request;
  plan->sources = memory_alloc(request->n_mounts * sizeof *plan->sources);
  plan->device_numbers = memory_alloc(request->n_devices * sizeof *plan->device_numbers);
  plan->set_hostname_files = sandbox_is_configured();
  if (plan_all(plan, error) == 0) return plan;
  rootfs_plan_free(plan);
  return NULL;
}
