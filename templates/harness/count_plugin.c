/* QEMU plugin: counts retired instructions while a window is open.
 *
 * A window opens when the function `open` stores into `windows` (the index is the window's number) and closes when
 * `close` is entered; the instructions of both belong to no window. QEMU's header is not packaged: what is used of
 * its interface (docs/devel/tcg-plugins) is declared here. PLUGIN_VERSION comes from the command line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum { CB_NO_REGS = 0, MEM_W = 2 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id_t id, void (*cb)(plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id_t id, void (*cb)(plugin_id_t, void *), void *data);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned, uint32_t, uint64_t, void *), int flags, int rw, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

static uint64_t open_at, open_end, close_at, close_end, windows_at, windows;
static uint64_t retired, mark, window;
static int inside, failed;
static uint64_t *counts, *times;
static const char *out;

static void on_block(unsigned cpu, void *instructions)
{
  (void)cpu;
  retired += (uintptr_t)instructions;
}

static void on_store(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
  (void)cpu, (void)info, (void)data;
  if (address < windows_at || address >= windows_at + windows) return;
  if (inside) failed = 1;
  inside = 1;
  window = address - windows_at;
  times[window]++;
  mark = retired;
}

static void on_close(unsigned cpu, void *data)
{
  (void)cpu, (void)data;
  if (inside) counts[window] += retired - mark;
  inside = 0;
}

static void on_translation(plugin_id_t id, struct qemu_plugin_tb *tb)
{
  const uint64_t at = qemu_plugin_tb_vaddr(tb);
  const size_t n = qemu_plugin_tb_n_insns(tb);
  (void)id;
  if (at >= open_at && at < open_end) {
    for (size_t i = 0; i < n; i++) qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_store, CB_NO_REGS, MEM_W, NULL);
  } else if (at == close_at) {
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_close, CB_NO_REGS, NULL);
  } else if (at < close_at || at >= close_end) {
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS, (void *)(uintptr_t)n);
  }
}

static void at_exit(plugin_id_t id, void *data)
{
  FILE *file = fopen(out, "w");
  (void)id, (void)data;
  if (file == NULL) return;
  for (uint64_t w = 0; w < windows; w++) fprintf(file, "%" PRIu64 " %" PRIu64 "\n", counts[w], times[w]);
  fprintf(file, "%s\n", failed ? "nested" : "end");
  fclose(file);
}

static uint64_t number(int argc, char **argv, const char *key)
{
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], key, strlen(key)) == 0) return strtoull(argv[i] + strlen(key), NULL, 0);
  }
  return 0;
}

EXPORT int qemu_plugin_install(plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
  (void)info;
  open_at = number(argc, argv, "open=");
  open_end = open_at + number(argc, argv, "open_bytes=");
  close_at = number(argc, argv, "close=");
  close_end = close_at + number(argc, argv, "close_bytes=");
  windows_at = number(argc, argv, "windows_at=");
  windows = number(argc, argv, "windows=");
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "out=", 4) == 0) out = strdup(argv[i] + 4);
  }
  counts = calloc(windows + 1, sizeof *counts);
  times = calloc(windows + 1, sizeof *times);
  if (counts == NULL || times == NULL || out == NULL) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, at_exit, NULL);
  return 0;
}
