// A SCSI disk by its address: found, checked, formatted, mounted. For workers: everything here may block.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

struct disk {
  char name[32]; // sda
  dev_t number;
  uint64_t size_bytes;
};

// Scans the address on every SCSI host and waits for the disk, 10 s at most.
int disk_find(uint32_t target, uint32_t lun, struct disk *disk, struct error *error);

struct disk_mount {
  const char *fs_type;
  const char *place;
  const char *tools; // folder of the tools volume, or NULL
  unsigned long flags;
  const char *data;
  bool format_if_blank;
};

// Mounts, after making the file system if that is wanted and allowed.
int disk_mount(const struct disk *disk, const struct disk_mount *request, bool *formatted, struct error *error);
// Tells the kernel that the disk goes away.
int disk_delete(const char *name, struct error *error);
