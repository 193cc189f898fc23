#include "mount-option.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

static const struct {
  const char *name;
  unsigned long flag;
  uint64_t attribute;
} flag_options[] = {
    {"ro", MS_RDONLY, MOUNT_ATTR_RDONLY},
    {"nosuid", MS_NOSUID, MOUNT_ATTR_NOSUID},
    {"nodev", MS_NODEV, MOUNT_ATTR_NODEV},
    {"noexec", MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"noatime", MS_NOATIME, MOUNT_ATTR_NOATIME},
    {"nodiratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {"strictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
    // Defaults, or said by the kind of mount itself.
    {"rw", 0, 0},
    {"suid", 0, 0},
    {"dev", 0, 0},
    {"exec", 0, 0},
    {"relatime", 0, 0},
    {"bind", 0, 0},
    {"rbind", 0, 0},
    {"private", 0, 0},
    {"rprivate", 0, 0},
    {"defaults", 0, 0},
};

static int parse_one(const char *option, struct mount_option *result, struct error *error) {
  if (*option == '\0') return 0;
  for (size_t index = 0; index < sizeof flag_options / sizeof flag_options[0]; index++) {
    if (strcmp(option, flag_options[index].name) != 0) continue;
    result->flags |= flag_options[index].flag;
    result->attributes |= flag_options[index].attribute;
    return 0;
  }
  size_t used = strlen(result->data);
  int length = snprintf(result->data + used, sizeof result->data - used, "%s%s", used > 0 ? "," : "", option);
  if (length < 0 || (size_t)length >= sizeof result->data - used) {
    return error_set(error, CODE_INVALID, "mount options are longer than %zu bytes", sizeof result->data);
  }
  return 0;
}

int mount_options_parse(char *const *options, size_t count, struct mount_option *result, struct error *error) {
  for (size_t index = 0; index < count; index++) {
    if (parse_one(options[index], result, error) < 0) return -1;
  }
  return 0;
}

int mount_options_split(char *list, struct mount_option *result, struct error *error) {
  char *rest = NULL;
  for (char *option = strtok_r(list, ",", &rest); option != NULL; option = strtok_r(NULL, ",", &rest)) {
    if (parse_one(option, result, error) < 0) return -1;
  }
  return 0;
}
