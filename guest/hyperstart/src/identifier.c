#include "identifier.h"

#include <string.h>

#include "memory.h"

#define IDENTIFIER_MAX 128u

bool identifier_is_valid(const char *text) {
  size_t length = strlen(text);
  return length >= 1 && length <= IDENTIFIER_MAX && text[0] != '.' &&
         strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

int identifier_check(const char *what, const char *text, struct error *error) {
  if (identifier_is_valid(text)) return 0;
  return error_set(error, CODE_INVALID, "%s '%.128s': must be 1-128 characters of A-Za-z0-9_.-, not beginning with a dot", what,
                   text);
}

uint64_t fingerprint_of(const ProtobufCMessage *message) {
  size_t length = protobuf_c_message_get_packed_size(message);
  cleanup_free uint8_t *packed = memory_alloc(length);
  protobuf_c_message_pack(message, packed);
  uint64_t value = 0xcbf29ce484222325u;
  for (size_t index = 0; index < length; index++) value = (value ^ packed[index]) * 0x100000001b3u;
  return value;
}
