/* QEMU plugin: counts retired instructions by window. Marks and windows are those of count_blocks.c.
 *
 * QEMU's header is not packaged: what is used of its interface (docs/devel/tcg-plugins) is declared here. PLUGIN_VERSION
 * comes from the command line. The file of marks has their number, the whole's window and how many windows there are,
 * then address, window and whether it opens for each mark, by address. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum { CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id_t id, void (*cb)(plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id_t id, void (*cb)(plugin_id_t, void *), void *data);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned, void *), int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

typedef struct {
  uint64_t address, window, opens;
} mark_t;

/* A block that marks cut in pieces: each piece is some instructions after some marks. */
typedef struct {
  size_t pieces;
  struct {
    size_t first, end; /* marks */
    uint64_t instructions;
  } piece[];
} cut_t;

static mark_t *marks;
static size_t marks_count;
static uint64_t whole, windows, window; /* `windows` also stands for no window */
static uint64_t *counts;
static char *out;

static void meet(size_t first, size_t end)
{
  for (size_t i = first; i < end; i++) {
    const mark_t *m = &marks[i];
    if (m->window == whole) window = !m->opens ? windows : window == windows ? whole : window;
    else window = m->opens ? m->window : window == m->window ? whole : window;
  }
}

static void on_block(unsigned cpu, void *instructions)
{
  (void)cpu;
  counts[window] += (uintptr_t)instructions;
}

static void on_cut_block(unsigned cpu, void *data)
{
  const cut_t *cut = data;
  (void)cpu;
  for (size_t i = 0; i < cut->pieces; i++) {
    meet(cut->piece[i].first, cut->piece[i].end);
    counts[window] += cut->piece[i].instructions;
  }
}

static size_t first_mark(uint64_t address)
{
  size_t i = 0;
  while (i < marks_count && marks[i].address < address) i++;
  return i;
}

static void on_translation(plugin_id_t id, struct qemu_plugin_tb *tb)
{
  const size_t n = qemu_plugin_tb_n_insns(tb);
  cut_t *cut = calloc(1, sizeof *cut + (n + 1) * sizeof cut->piece[0]);
  size_t met = first_mark(qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0)));
  int marked = 0;
  (void)id;
  if (cut == NULL) abort();
  for (size_t i = 0; i < n; i++) {
    const uint64_t at = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i));
    const size_t first = met;
    while (met < marks_count && marks[met].address <= at) met++;
    if (i == 0 || met != first) {
      cut->piece[cut->pieces].first = first;
      cut->piece[cut->pieces++].end = met;
      marked |= met != first;
    }
    cut->piece[cut->pieces - 1].instructions++;
  }
  if (marked) {
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_cut_block, CB_NO_REGS, cut);
    return;
  }
  free(cut);
  qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS, (void *)(uintptr_t)n);
}

static void at_exit(plugin_id_t id, void *data)
{
  FILE *file = fopen(out, "w");
  (void)id, (void)data;
  if (file == NULL) return;
  for (uint64_t w = 0; w < windows; w++) fprintf(file, "%" PRIu64 "\n", counts[w]);
  fclose(file);
}

static int read_marks(const char *path)
{
  FILE *file = fopen(path, "r");
  if (file == NULL || fscanf(file, "%zu %" SCNu64 " %" SCNu64, &marks_count, &whole, &windows) != 3) return 0;
  marks = calloc(marks_count + 1, sizeof *marks);
  counts = calloc(windows + 1, sizeof *counts);
  if (marks == NULL || counts == NULL) return 0;
  for (size_t i = 0; i < marks_count; i++) {
    if (fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &marks[i].address, &marks[i].window, &marks[i].opens) != 3) return 0;
  }
  fclose(file);
  window = windows;
  return 1;
}

EXPORT int qemu_plugin_install(plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
  (void)info;
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "out=", 4) == 0) out = strdup(argv[i] + 4);
    if (strncmp(argv[i], "marks=", 6) == 0 && !read_marks(argv[i] + 6)) return 1;
  }
  if (out == NULL || counts == NULL) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, at_exit, NULL);
  return 0;
}
