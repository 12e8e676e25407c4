/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_COMMANDS_H
#define HMMU_TOOL_COMMANDS_H

/*
 * The commands of `hmmu`. Each gets the arguments from its own name on, as
 * main() would, and returns the exit status: 0, 1 when it failed, 2 when it was
 * called wrongly.
 */
int cmd_info(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_dmirror(int argc, char **argv);

#endif
