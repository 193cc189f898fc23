// What has to be there before the first Hello: file systems, modules, the port.
#pragma once

void boot_file_systems(void);
void boot_modules(void);
int boot_port(void); // file descriptor of the hyperstart.v1 port
void boot_defaults(void);
