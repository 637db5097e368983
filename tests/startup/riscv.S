/* As little start-up as RISC-V needs in QEMU's virt machine. A trap ends the run with status 99. */
  .section .vectors, "ax"
  .global reset
reset:
  la sp, _estack
  la t0, fault
  .insn i 0x73, 1, x0, t0, 0x305 /* csrw mtvec */
  la t0, _sidata
  la t1, _sdata
  la t2, _edata
1:
  bgeu t1, t2, 2f
  lw t3, 0(t0)
  sw t3, 0(t1)
  addi t0, t0, 4
  addi t1, t1, 4
  j 1b
2:
  la t1, _sbss
  la t2, _end
3:
  bgeu t1, t2, 4f
  sw zero, 0(t1)
  addi t1, t1, 4
  j 3b
4:
  call main
  j leave

  .balign 4
fault:
  li a0, 99
leave:
  addi sp, sp, -16
  li t0, 0x20026
  sw t0, 0(sp)
  sw a0, 4(sp)
  li a0, 0x20
  mv a1, sp
  call tc_semihost
  j leave
