#include "crc32.h"

#include <stdbool.h>

static uint32_t table[256];

static void table_fill(void) {
  for (uint32_t index = 0; index < 256; index++) {
    uint32_t value = index;
    for (int bit = 0; bit < 8; bit++) {
      value = (value & 1u) != 0 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
    }
    table[index] = value;
  }
}

uint32_t crc32_of(const uint8_t *data, size_t length) {
  if (table[1] == 0) table_fill();
  uint32_t value = 0xFFFFFFFFu;
  for (size_t index = 0; index < length; index++) {
    value = table[(value ^ data[index]) & 0xFFu] ^ (value >> 8);
  }
  return value ^ 0xFFFFFFFFu;
}
