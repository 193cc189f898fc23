// CRC-32/ISO-HDLC, as zlib computes it.
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t crc32_of(const uint8_t *data, size_t length);
