// What a disk holds, by the signatures of the usual file systems, volume managers and partition tables.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How much of either end must be read as zeros before a disk counts as blank.
#define SIGNATURE_EDGE_BYTES (1024u * 1024u)

// The name of what is found in the first bytes of a disk ("ext4", "GPT partition table"); NULL if nothing is known of it.
const char *signature_name(const uint8_t *start, size_t length);

enum disk_content { DISK_BLANK, DISK_KNOWN, DISK_UNKNOWN, DISK_UNREADABLE };
// Reads both ends of a disk. DISK_KNOWN fills in the name; DISK_UNKNOWN: bytes other than zero that no signature explains.
enum disk_content signature_read(int fd, uint64_t size, const char **name);
