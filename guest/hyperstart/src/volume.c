#include "volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "container.h"
#include "disk.h"
#include "identifier.h"
#include "log.h"
#include "memory.h"
#include "mount-option.h"
#include "path.h"
#include "paths.h"
#include "worker.h"

#define VOLUMES_MAX 1024u

struct volume {
  struct volume *next;
  char *id;
  unsigned number; // names its folder: short, for the options of an overlay of many layers
  uint64_t fingerprint;
  Hyperstart__V1__MountVolume *request;
  char *tools;
  struct mount_option options;
  struct disk disk;
  bool formatted;
  bool is_ready;
  bool is_busy; // a worker is at it
  bool remove_device;
  struct reply reply;
};

// What the mounting worker found out.
struct mount_answer {
  struct disk disk;
  bool formatted;
};
_Static_assert(sizeof(struct mount_answer) <= WORKER_ANSWER_MAX, "answer fits");

static struct volume *volumes;
static unsigned volume_count;
static unsigned last_number;

static struct volume *volume_find(const char *id) {
  for (struct volume *volume = volumes; volume != NULL; volume = volume->next) {
    if (strcmp(volume->id, id) == 0) return volume;
  }
  return NULL;
}

static bool is_raw(const struct volume *volume) {
  return *volume->request->fs_type == '\0';
}

static char *place_of(const struct volume *volume) {
  return memory_format(PATH_VOLUMES "/%u", volume->number);
}

char *volume_path(const char *volume_id) {
  const struct volume *volume = volume_find(volume_id);
  return volume == NULL || !volume->is_ready || is_raw(volume) ? NULL : place_of(volume);
}

dev_t volume_device(const char *volume_id) {
  const struct volume *volume = volume_find(volume_id);
  return volume == NULL || !volume->is_ready ? 0 : volume->disk.number;
}

size_t volume_ids(char ***ids) {
  *ids = memory_alloc(volume_count * sizeof **ids);
  size_t count = 0;
  for (const struct volume *volume = volumes; volume != NULL; volume = volume->next) {
    if (volume->is_ready) (*ids)[count++] = volume->id;
  }
  return count;
}

static void volume_free(struct volume *volume) {
  for (struct volume **at = &volumes; *at != NULL; at = &(*at)->next) {
    if (*at != volume) continue;
    *at = volume->next;
    break;
  }
  volume_count--;
  hyperstart__v1__mount_volume__free_unpacked(volume->request, NULL);
  free(volume->tools);
  free(volume->id);
  free(volume);
}

// squashfs and erofs are never anything else, whatever was asked for.
static bool is_read_only(const Hyperstart__V1__MountVolume *request) {
  return request->read_only || strcmp(request->fs_type, "squashfs") == 0 || strcmp(request->fs_type, "erofs") == 0;
}

// --- mount ----------------------------------------------------------------------------------------------------------

static void answer_mounted(const struct volume *volume, struct reply reply) {
  Hyperstart__V1__MountVolumeResult result = HYPERSTART__V1__MOUNT_VOLUME_RESULT__INIT;
  result.formatted = volume->formatted;
  result.fs_type = volume->request->fs_type;
  result.size_bytes = volume->disk.size_bytes;
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.result_case = HYPERSTART__V1__RESPONSE__RESULT_MOUNT_VOLUME;
  response.mount_volume = &result;
  reply_send(reply, &response);
}

static int mount_work(void *input, struct worker_result *result) {
  const struct volume *volume = input;
  const Hyperstart__V1__MountVolume *request = volume->request;
  struct mount_answer answer = {0};
  if (disk_find(request->address->target, request->address->lun, &answer.disk, &result->error) < 0) return -1;
  if (!is_raw(volume)) {
    cleanup_free char *place = place_of(volume);
    struct disk_mount mount = {
        .fs_type = request->fs_type,
        .place = place,
        .tools = volume->tools,
        .flags = volume->options.flags | (is_read_only(request) ? MS_RDONLY : 0),
        .data = volume->options.data,
        .format_if_blank = request->format_if_blank,
    };
    if (disk_mount(&answer.disk, &mount, &answer.formatted, &result->error) < 0) return -1;
  }
  memcpy(result->answer, &answer, sizeof answer);
  return 0;
}

static void mount_done(void *owner, const struct worker_result *result) {
  struct volume *volume = owner;
  volume->is_busy = false;
  if (result->failed) {
    struct error error;
    error_set(&error, result->error.code, "volume %s: %.400s", volume->id, result->error.message);
    reply_error(volume->reply, &error);
    volume_free(volume);
    return;
  }
  struct mount_answer answer;
  memcpy(&answer, result->answer, sizeof answer);
  volume->disk = answer.disk;
  volume->formatted = answer.formatted;
  volume->is_ready = true;
  answer_mounted(volume, volume->reply);
}

static int check_request(const Hyperstart__V1__MountVolume *request, struct error *error) {
  static const char *const known[] = {"", "squashfs", "erofs", "ext4", "xfs"};
  if (identifier_check("volume id", request->volume_id, error) < 0) return -1;
  if (request->address == NULL) return error_set(error, CODE_INVALID, "volume %s has no address", request->volume_id);
  if (volume_count >= VOLUMES_MAX) return error_set(error, CODE_EXHAUSTED, "this pod has %u volumes", volume_count);
  for (size_t index = 0; index < sizeof known / sizeof known[0]; index++) {
    if (strcmp(request->fs_type, known[index]) == 0) return 0;
  }
  return error_set(error, CODE_INVALID, "volume %s: file system '%.32s' is not one of squashfs, erofs, ext4, xfs",
                   request->volume_id, request->fs_type);
}

static struct volume *volume_add(const Hyperstart__V1__MountVolume *request, struct error *error) {
  if (check_request(request, error) < 0) return NULL;
  struct mount_option options = {0};
  if (mount_options_parse(request->options, request->n_options, &options, error) < 0) return NULL;
  size_t length = hyperstart__v1__mount_volume__get_packed_size(request);
  cleanup_free uint8_t *packed = memory_alloc(length);
  hyperstart__v1__mount_volume__pack(request, packed);
  struct volume *volume = memory_alloc(sizeof *volume);
  volume->request = hyperstart__v1__mount_volume__unpack(NULL, length, packed);
  volume->id = memory_copy_string(request->volume_id);
  volume->fingerprint = fingerprint_of(&request->base);
  volume->number = ++last_number;
  volume->options = options;
  if (*request->tools_volume_id != '\0') volume->tools = volume_path(request->tools_volume_id);
  volume->next = volumes;
  volumes = volume;
  volume_count++;
  return volume;
}

static void mount_again(struct volume *volume, const Hyperstart__V1__MountVolume *request, struct reply reply) {
  if (volume->fingerprint == fingerprint_of(&request->base)) {
    if (volume->is_ready && !volume->is_busy) {
      answer_mounted(volume, reply);
      return;
    }
    if (!volume->is_ready) {
      volume->reply = reply;
      return;
    }
  }
  struct error error;
  error_set(&error, CODE_EXISTS, "volume %s is %s", volume->id, volume->is_busy ? "being unmounted" : "mounted in another way");
  reply_error(reply, &error);
}

void volume_mount(const Hyperstart__V1__MountVolume *request, struct reply reply) {
  struct error error;
  struct volume *volume = volume_find(request->volume_id);
  if (volume != NULL) {
    mount_again(volume, request, reply);
    return;
  }
  volume = volume_add(request, &error);
  if (volume == NULL) {
    reply_error(reply, &error);
    return;
  }
  volume->reply = reply;
  volume->is_busy = true;
  worker_run(mount_work, volume, mount_done, volume);
}

// --- unmount --------------------------------------------------------------------------------------------------------

static int unmount_work(void *input, struct worker_result *result) {
  const struct volume *volume = input;
  cleanup_free char *place = place_of(volume);
  if (!is_raw(volume)) {
    if (umount2(place, 0) < 0 && errno != EINVAL && errno != ENOENT) {
      return error_errno(&result->error, "unmount volume %s", volume->id);
    }
    rmdir(place);
  }
  return volume->remove_device ? disk_delete(volume->disk.name, &result->error) : 0;
}

static void unmount_done(void *owner, const struct worker_result *result) {
  struct volume *volume = owner;
  struct reply reply = volume->reply;
  volume->is_busy = false;
  if (result->failed) {
    reply_error(reply, &result->error);
    return;
  }
  volume_free(volume);
  reply_success(reply);
}

void volume_unmount(const Hyperstart__V1__UnmountVolume *request, struct reply reply) {
  struct volume *volume = volume_find(request->volume_id);
  if (volume == NULL) {
    reply_success(reply);
    return;
  }
  struct error error;
  if (volume->is_busy && !volume->is_ready) {
    error_set(&error, CODE_PRECONDITION, "volume %s is being mounted", volume->id);
    reply_error(reply, &error);
    return;
  }
  // Containers have mounts of their own, which the kernel's EBUSY here would not know of.
  if (container_uses_volume(volume->id)) {
    error_set(&error, CODE_PRECONDITION, "volume %s is used by a container", volume->id);
    reply_error(reply, &error);
    return;
  }
  volume->reply = reply;
  if (volume->is_busy) return;
  volume->is_busy = true;
  volume->remove_device = request->remove_device;
  worker_run(unmount_work, volume, unmount_done, volume);
}

// --- scratch, end ---------------------------------------------------------------------------------------------------

int volume_mount_scratch(uint32_t target, uint32_t lun, struct error *error) {
  struct disk disk;
  bool formatted;
  if (disk_find(target, lun, &disk, error) < 0) return -1;
  // It ends with the machine: no write has to survive a power cut.
  struct disk_mount mount = {.fs_type = "ext4", .place = PATH_SCRATCH, .flags = MS_NOATIME, .data = "barrier=0"};
  return disk_mount(&disk, &mount, &formatted, error);
}

void volume_unmount_all(void) {
  for (const struct volume *volume = volumes; volume != NULL; volume = volume->next) {
    if (!volume->is_ready || is_raw(volume)) continue;
    cleanup_free char *place = place_of(volume);
    if (umount2(place, 0) < 0) {
      log_line("volume %s: %s", volume->id, strerror(errno));
      mount(NULL, place, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    }
  }
}
