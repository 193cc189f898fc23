// x
#pragma once
void process_reap(void);
