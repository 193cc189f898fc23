// Frames: round trips, torn frames, garbage, the zero run, and the golden vectors shared with the host side.
#include <dirent.h>
#include <string.h>

#include "check.h"
#include "crc32.h"
#include "file.h"
#include "frame.h"
#include "memory.h"

#define GOLDEN_MAX 65536

static void push(struct frame_decoder *decoder, const void *data, size_t length) {
  memcpy(frame_decoder_room(decoder, length), data, length);
  frame_decoder_added(decoder, length);
}

static size_t make_frame(uint8_t *out, const char *payload) {
  size_t length = strlen(payload);
  memcpy(out + FRAME_HEADER_SIZE, payload, length);
  frame_header_write(out, out + FRAME_HEADER_SIZE, (uint32_t)length);
  return FRAME_HEADER_SIZE + length;
}

static void expect(struct frame_decoder *decoder, const char *payload) {
  const uint8_t *got;
  uint32_t length;
  CHECK(frame_decoder_next(decoder, &got, &length));
  CHECK(length == strlen(payload) && memcmp(got, payload, length) == 0);
}

static void expect_nothing(struct frame_decoder *decoder) {
  const uint8_t *got;
  uint32_t length;
  CHECK(!frame_decoder_next(decoder, &got, &length));
}

static void test_checksum(void) {
  // The check value of CRC-32/ISO-HDLC.
  CHECK(crc32_of((const uint8_t *)"123456789", 9) == 0xCBF43926u);
  CHECK(crc32_of(NULL, 0) == 0);
}

static void test_whole_and_in_bytes(void) {
  struct frame_decoder decoder = {0};
  uint8_t bytes[64];
  size_t length = make_frame(bytes, "hello");
  push(&decoder, bytes, length);
  expect(&decoder, "hello");
  expect_nothing(&decoder);
  for (size_t at = 0; at < length; at++) {
    expect_nothing(&decoder);
    push(&decoder, bytes + at, 1);
  }
  expect(&decoder, "hello");
  length = make_frame(bytes, "");
  push(&decoder, bytes, length);
  expect(&decoder, "");
  frame_decoder_clear(&decoder);
}

static void test_garbage_and_damage(void) {
  struct frame_decoder decoder = {0};
  uint8_t bytes[64];
  size_t length = make_frame(bytes, "payload");
  push(&decoder, "HYHYP", 5);
  push(&decoder, bytes, length);
  expect(&decoder, "payload");
  bytes[length - 1] ^= 1;
  push(&decoder, bytes, length); // wrong checksum
  bytes[length - 1] ^= 1;
  push(&decoder, bytes, length);
  expect(&decoder, "payload");
  uint8_t oversized[FRAME_HEADER_SIZE] = {'H', 'Y', 'P', '1', 1, 0, 16, 0};
  push(&decoder, oversized, sizeof oversized); // one more than the maximum
  push(&decoder, bytes, length);
  expect(&decoder, "payload");
  expect_nothing(&decoder);
  frame_decoder_clear(&decoder);
}

static void test_torn_frame_and_zero_run(void) {
  static uint8_t zeros[FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE];
  struct frame_decoder decoder = {0};
  uint8_t torn[FRAME_HEADER_SIZE] = {'H', 'Y', 'P', '1', 0, 0, 16, 0, 1, 2, 3, 4}; // announces 1 MiB
  uint8_t bytes[64];
  size_t length = make_frame(bytes, "after");
  push(&decoder, torn, sizeof torn);
  expect_nothing(&decoder);
  for (size_t at = 0; at < sizeof zeros; at += 32768) {
    push(&decoder, zeros, sizeof zeros - at < 32768 ? sizeof zeros - at : 32768);
    expect_nothing(&decoder);
  }
  push(&decoder, bytes, length);
  expect(&decoder, "after");
  frame_decoder_room(&decoder, 1);
  CHECK(decoder.capacity <= 65536); // the memory of the large frame was given back
  frame_decoder_clear(&decoder);
}

static void test_random_input(void) {
  struct frame_decoder decoder = {0};
  uint8_t bytes[64];
  srandom(20261123);
  for (int round = 0; round < 2000; round++) {
    uint8_t noise[97];
    size_t length = (size_t)random() % sizeof noise;
    // Only letters of the magic: as many false starts as possible. No length fits within what follows, so no frame is hidden.
    for (size_t at = 0; at < length; at++) noise[at] = (uint8_t) "HYP"[random() % 3];
    push(&decoder, noise, length);
    push(&decoder, bytes, make_frame(bytes, "found"));
    expect(&decoder, "found");
  }
  frame_decoder_clear(&decoder);
}

// Each golden file is one frame: its payload must come out, and framing the payload must give the file.
static void test_golden(void) {
  const char *folder = getenv("GOLDEN");
  CHECK(folder != NULL);
  DIR *entries = opendir(folder);
  CHECK(entries != NULL);
  int count = 0;
  struct dirent *entry;
  while ((entry = readdir(entries)) != NULL) {
    size_t name_length = strlen(entry->d_name);
    if (name_length < 4 || strcmp(entry->d_name + name_length - 4, ".bin") != 0) continue;
    cleanup_free char *path = memory_format("%s/%s", folder, entry->d_name);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    static uint8_t bytes[GOLDEN_MAX];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    struct frame_decoder decoder = {0};
    push(&decoder, bytes, size);
    const uint8_t *payload;
    uint32_t length;
    CHECK(frame_decoder_next(&decoder, &payload, &length));
    CHECK(length == size - FRAME_HEADER_SIZE);
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header_write(header, payload, length);
    CHECK(memcmp(header, bytes, sizeof header) == 0);
    frame_decoder_clear(&decoder);
    count++;
  }
  closedir(entries);
  CHECK(count >= 3);
}

int main(void) {
  test_checksum();
  test_whole_and_in_bytes();
  test_garbage_and_damage();
  test_torn_frame_and_zero_run();
  test_random_input();
  test_golden();
  return 0;
}
