// The virtio-serial port and its session. A session begins with a Hello; what belongs to an earlier one is never sent.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

#include <hyperstart/v1/hyperstart.pb-c.h>

// Called for each decoded message of the host.
typedef void channel_receiver(const Hyperstart__V1__HostMessage *message);

void channel_open(int port_fd, channel_receiver *receiver);
// Begins a new session: what is queued is dropped and, if a frame was cut in the middle, completed by zeros for the host's
// decoder.
void channel_session_begin(void);
// The number of the session, 0: none. An answer belongs to the session its request came in.
uint32_t channel_session(void);
// Queues a message; nothing happens without a session.
void channel_send(const Hyperstart__V1__GuestMessage *message);
// True while so much is queued that streams must wait.
bool channel_is_congested(void);
// Writes what the port takes and goes on reading if that made room. The main loop calls it after each step.
void channel_flush(void);
