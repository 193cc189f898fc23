// The file system a container sees. Runs in the container's first process, in its own mount and pid namespace, before pivot_root.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

// Sources resolved by PID 1, which knows the volumes; the child knows nothing of them.
struct mount_source {
  char *path; // folder to bind from; NULL for tmpfs and kernel_fs
};

struct rootfs_plan {
  const Hyperstart__V1__CreateContainer *create;
  char *layers; // "top:...:bottom" for overlayfs, or NULL
  char *volume; // writable root instead of layers, or NULL
  char *upper;  // folders on the scratch disk
  char *work;
  struct mount_source *sources; // one per create->mounts
  dev_t *device_numbers;        // one per create->devices
  bool set_hostname_files;      // resolv.conf, hosts and hostname are there
};

void rootfs_plan_free(struct rootfs_plan *plan);
int rootfs_build(const struct rootfs_plan *plan, struct error *error);
// Makes it the root of this process and detaches everything else.
int rootfs_enter(struct error *error);
