// Disks of the pod: found by their SCSI address, mounted under PATH_VOLUMES, or left raw.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"
#include "request.h"

void volume_mount(const Hyperstart__V1__MountVolume *request, struct reply reply);
void volume_unmount(const Hyperstart__V1__UnmountVolume *request, struct reply reply);
// Where a mounted volume is, to be freed; NULL if there is none of that id, or a raw one.
char *volume_path(const char *volume_id);
// Device number of a volume, 0 if there is none.
dev_t volume_device(const char *volume_id);
size_t volume_ids(char ***ids); // array to be freed, strings not
// Makes the scratch disk the place of writable layers and emptyDirs. For workers: waits for the disk.
int volume_mount_scratch(uint32_t target, uint32_t lun, struct error *error);
void volume_unmount_all(void);
