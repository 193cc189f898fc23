// Frames of hyperstart.v1: "HYP1", length, crc32, payload. See the head of hyperstart.proto.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_SIZE 12u
#define FRAME_PAYLOAD_MAX (1024u * 1024u)

void frame_header_write(uint8_t header[FRAME_HEADER_SIZE], const uint8_t *payload, uint32_t length);

// Bytes in, frames out. Memory grows with the frame that is being received and is given back afterwards.
struct frame_decoder {
  uint8_t *data;
  size_t capacity;
  size_t start; // first byte not consumed
  size_t end;   // past the last byte received
};

// Room for at least `wanted` more bytes; write there, then say how many with frame_decoder_added.
uint8_t *frame_decoder_room(struct frame_decoder *decoder, size_t wanted);
void frame_decoder_added(struct frame_decoder *decoder, size_t length);
// The next whole, correct frame. The payload stays valid until the next call of frame_decoder_room.
bool frame_decoder_next(struct frame_decoder *decoder, const uint8_t **payload, uint32_t *length);
void frame_decoder_clear(struct frame_decoder *decoder);
