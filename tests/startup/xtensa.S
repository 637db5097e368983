/* As little start-up as Xtensa LX106 needs in QEMU's sim machine, which starts at the reset vector. */
  .section .vectors, "ax"
  .align 4
  .global reset
reset:
  j start
  .literal_position
start:
  movi a1, _estack
  movi a2, _sbss
  movi a3, _end
  movi a4, 0
1:
  bgeu a2, a3, 2f
  s32i a4, a2, 0
  addi a2, a2, 4
  j 1b
2:
  movi a2, _sidata
  movi a3, _sdata
  movi a5, _edata
3:
  bgeu a3, a5, 4f
  l32i a4, a2, 0
  s32i a4, a3, 0
  addi a2, a2, 4
  addi a3, a3, 4
  j 3b
4:
  movi a0, main
  callx0 a0
  mov a3, a2
  movi a2, 1
  simcall
