#include "frame.h"

#include <string.h>

#include "crc32.h"
#include "memory.h"

#define MAGIC "HYP1"
#define MAGIC_SIZE 4u
#define CAPACITY_KEPT 65536u // an empty decoder keeps at most this much memory

static void write_u32(uint8_t *at, uint32_t value) {
  for (int index = 0; index < 4; index++) at[index] = (uint8_t)(value >> (8 * index));
}

static uint32_t read_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void frame_header_write(uint8_t header[FRAME_HEADER_SIZE], const uint8_t *payload, uint32_t length) {
  memcpy(header, MAGIC, MAGIC_SIZE);
  write_u32(header + 4, length);
  write_u32(header + 8, crc32_of(payload, length));
}

uint8_t *frame_decoder_room(struct frame_decoder *decoder, size_t wanted) {
  if (decoder->start > 0) {
    memmove(decoder->data, decoder->data + decoder->start, decoder->end - decoder->start);
    decoder->end -= decoder->start;
    decoder->start = 0;
  }
  if (decoder->end == 0 && decoder->capacity > CAPACITY_KEPT) frame_decoder_clear(decoder);
  if (decoder->capacity - decoder->end < wanted) {
    decoder->capacity = decoder->end + wanted;
    decoder->data = memory_resize(decoder->data, decoder->capacity);
  }
  return decoder->data + decoder->end;
}

void frame_decoder_added(struct frame_decoder *decoder, size_t length) {
  decoder->end += length;
}

// Moves start to the next place where a header may begin.
static void seek_magic(struct frame_decoder *decoder) {
  while (decoder->start < decoder->end) {
    uint8_t *found = memchr(decoder->data + decoder->start, MAGIC[0], decoder->end - decoder->start);
    if (found == NULL) {
      decoder->start = decoder->end;
      return;
    }
    decoder->start = (size_t)(found - decoder->data);
    size_t have = decoder->end - decoder->start;
    if (memcmp(found, MAGIC, have < MAGIC_SIZE ? have : MAGIC_SIZE) == 0) return;
    decoder->start++;
  }
}

bool frame_decoder_next(struct frame_decoder *decoder, const uint8_t **payload, uint32_t *length) {
  for (;;) {
    seek_magic(decoder);
    size_t have = decoder->end - decoder->start;
    if (have < FRAME_HEADER_SIZE) return false;
    const uint8_t *header = decoder->data + decoder->start;
    uint32_t claimed = read_u32(header + 4);
    if (claimed > FRAME_PAYLOAD_MAX) {
      decoder->start++;
      continue;
    }
    if (have - FRAME_HEADER_SIZE < claimed) return false;
    const uint8_t *body = header + FRAME_HEADER_SIZE;
    if (crc32_of(body, claimed) != read_u32(header + 8)) {
      decoder->start++;
      continue;
    }
    decoder->start += FRAME_HEADER_SIZE + claimed;
    *payload = body;
    *length = claimed;
    return true;
  }
}

void frame_decoder_clear(struct frame_decoder *decoder) {
  free(decoder->data);
  *decoder = (struct frame_decoder){0};
}
