#include "capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
#define CAPABILITY_COUNT ((int)(sizeof names / sizeof names[0]))
#define ALL_CAPABILITIES ((1ull << CAPABILITY_COUNT) - 1)

int capability_number(const char *name) {
  if (strncasecmp(name, "CAP_", 4) == 0) name += 4;
  for (int number = 0; number < CAPABILITY_COUNT; number++) {
    if (strcasecmp(name, names[number]) == 0) return number;
  }
  return -1;
}

static int mask_of(char *const *list, size_t count, uint64_t *mask, struct error *error) {
  *mask = 0;
  for (size_t index = 0; index < count; index++) {
    int number = capability_number(list[index]);
    if (number < 0) return error_set(error, CODE_INVALID, "capability '%.64s' is unknown", list[index]);
    *mask |= 1ull << number;
  }
  return 0;
}

int capability_bound(const Hyperstart__V1__Capabilities *capabilities, bool all, struct error *error) {
  if (all) return 0;
  uint64_t keep = 0;
  if (capabilities != NULL && mask_of(capabilities->bounding, capabilities->n_bounding, &keep, error) < 0) return -1;
  for (int number = 0; number < CAPABILITY_COUNT; number++) {
    if ((keep >> number & 1u) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0 && errno != EINVAL) {
      return error_errno(error, "drop capability %s", names[number]);
    }
  }
  return 0;
}

static int set_process(uint64_t effective, uint64_t permitted, uint64_t inheritable, struct error *error) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int half = 0; half < 2; half++) {
    data[half].effective = (uint32_t)(effective >> (32 * half));
    data[half].permitted = (uint32_t)(permitted >> (32 * half));
    data[half].inheritable = (uint32_t)(inheritable >> (32 * half));
  }
  if (syscall(SYS_capset, &header, data) < 0) return error_errno(error, "set capabilities");
  return 0;
}

int capability_apply(const Hyperstart__V1__Capabilities *capabilities, bool all, struct error *error) {
  if (all) return set_process(ALL_CAPABILITIES, ALL_CAPABILITIES, 0, error);
  if (capabilities == NULL) return set_process(0, 0, 0, error);
  uint64_t effective;
  uint64_t permitted;
  uint64_t inheritable;
  uint64_t ambient;
  if (mask_of(capabilities->effective, capabilities->n_effective, &effective, error) < 0) return -1;
  if (mask_of(capabilities->permitted, capabilities->n_permitted, &permitted, error) < 0) return -1;
  if (mask_of(capabilities->inheritable, capabilities->n_inheritable, &inheritable, error) < 0) return -1;
  if (mask_of(capabilities->ambient, capabilities->n_ambient, &ambient, error) < 0) return -1;
  if (set_process(effective, permitted, inheritable, error) < 0) return -1;
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int number = 0; number < CAPABILITY_COUNT; number++) {
    if ((ambient >> number & 1u) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0) {
      return error_errno(error, "raise ambient capability %s", names[number]);
    }
  }
  return 0;
}
