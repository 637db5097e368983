/* As little start-up as a Cortex-M needs to run the application in QEMU. Faults end the run with status 99. */
#include <stdint.h>

extern uint32_t _estack[], _sidata[], _sdata[], _edata[], _sbss[], _end[];
int main(void);
void SysTick_Handler(void);
void reset(void);

static void leave(uint32_t status)
{
  const uint32_t block[2] = {0x20026, status};
  register uint32_t r0 __asm__("r0") = 0x20;
  register const void *r1 __asm__("r1") = block;

  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void fault(void)
{
  leave(99);
}

void reset(void)
{
#ifdef __ARM_FP
  *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
  __asm__ volatile("dsb\nisb");
#endif
  for (uint32_t *from = _sidata, *to = _sdata; to < _edata;) {
    *to++ = *from++;
  }
  for (uint32_t *to = _sbss; to < _end;) {
    *to++ = 0;
  }
  leave((uint32_t)main());
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)_estack, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, SysTick_Handler};
