// Numbered byte streams between a file descriptor here and the host. See "NOTHING LOST OR DOUBLED" in hyperstart.proto.
//
// To the host: bytes are read from the descriptor only while fewer than STREAM_WINDOW of them are unacknowledged, so a process
// that floods its output waits in write(2) and memory stays bounded. To the guest: bytes are acknowledged when the descriptor
// took them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <hyperstart/v1/hyperstart.pb-c.h>

#define STREAM_WINDOW 65536u
#define STREAM_CHUNK_MAX 32704u // with all headers a frame stays within 32 KiB: one write to the port

// Called once when the last byte of a draining source was handed over. May be NULL.
typedef void stream_finished(void *owner);

// A stream of the host's number, or 0 when taken already.
// Both take over fd (non-blocking); `socket` tells that end of stream is shutdown(2) rather than close(2).
bool stream_open_to_host(uint32_t number, int fd, stream_finished *finished, void *owner);
bool stream_open_to_guest(uint32_t number, int fd, bool socket);
bool stream_exists(uint32_t number);
// Both may be opened with fd -1 while the terminal is not there yet; this hands it in. Closes fd if the stream has gone.
void stream_attach(uint32_t number, int fd);

// The writer has ended: read what is there, then end the stream. Calls finished, perhaps at once.
void stream_drain(uint32_t number);
// Forgets the owner, so that finished is not called any more.
void stream_disown(void *owner);
// The reader of a stream to the guest has ended.
void stream_close_to_guest(uint32_t number);
// Ends a stream at once, telling the host why.
void stream_abort(uint32_t number, const char *reason);

void stream_receive_data(const Hyperstart__V1__StreamData *data);
void stream_receive_ack(const Hyperstart__V1__StreamAck *ack);
void stream_receive_reset(const Hyperstart__V1__StreamReset *reset);

// A new session: resume the listed streams to the host where it says, drop the others.
void stream_resume(const Hyperstart__V1__Hello *hello);
// Positions of the streams to the guest for HelloReply; both the array and its entries are to be freed with
// stream_positions_free.
Hyperstart__V1__StreamPosition **stream_positions(size_t *count);
void stream_positions_free(Hyperstart__V1__StreamPosition **positions, size_t count);

// Sends what streams to the host hold, as far as the channel takes it.
void stream_pump(void);
