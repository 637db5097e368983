/* As much of ST's HAL as the port uses. Time is when bytes arrive: each look at the clock may raise the interrupt. */
#pragma once
#include "host_io.h"

typedef struct {
#ifdef STUB_OLD_UART
  uint32_t SR, DR;
#else
  uint32_t ISR, RDR, ICR;
#endif
} USART_TypeDef;
typedef struct {
  int unused;
} GPIO_TypeDef;
typedef struct {
  uint32_t BaudRate, WordLength, StopBits, Parity, Mode, HwFlowCtl, OverSampling;
} UART_InitTypeDef;
typedef struct {
  USART_TypeDef *Instance;
  UART_InitTypeDef Init;
} UART_HandleTypeDef;
typedef struct {
  uint32_t Pin, Mode, Pull, Speed;
#ifndef STUB_F1
  uint32_t Alternate;
#endif
} GPIO_InitTypeDef;
typedef struct {
  uint32_t DEMCR;
} CoreDebug_Type;
typedef struct {
  uint32_t CTRL, CYCCNT, LAR;
} DWT_Type;
typedef int HAL_StatusTypeDef;

enum { HAL_OK = 0 };
#define HAL_MAX_DELAY 0xFFFFFFFFU
enum { UART_WORDLENGTH_8B, UART_STOPBITS_1, UART_PARITY_NONE, UART_MODE_TX_RX, UART_HWCONTROL_NONE, UART_OVERSAMPLING_16 };
enum { UART_IT_RXNE = 1, UART_FLAG_RXNE = 0x20, UART_CLEAR_OREF = 8 };
enum { GPIO_MODE_AF_PP, GPIO_MODE_INPUT, GPIO_PULLUP, GPIO_SPEED_FREQ_HIGH };
enum { GPIO_AF7_USART2 = 7, GPIO_AF7_USART3 = 7, GPIO_AF8_LPUART1 = 8 };
enum { GPIO_PIN_2 = 4, GPIO_PIN_3 = 8, GPIO_PIN_7 = 128, GPIO_PIN_8 = 256, GPIO_PIN_9 = 512, GPIO_PIN_10 = 1024 };
enum { CoreDebug_DEMCR_TRCENA_Msk = 1 << 24, DWT_CTRL_CYCCNTENA_Msk = 1 };
enum { STUB_IRQN = 37 };

static USART_TypeDef stub_uart;
static GPIO_TypeDef stub_gpio;
static CoreDebug_Type stub_debug;
static DWT_Type stub_dwt;
static int stub_interrupts;
static uint32_t SystemCoreClock = 16000000;
#define CoreDebug (&stub_debug)
#define DWT (&stub_dwt)
#define STUB_GPIO (&stub_gpio)
#define STUB_UART (&stub_uart)

void STUB_IRQ_HANDLER(void);

#define __HAL_UART_ENABLE_IT(handle, interrupt) ((void)(handle), stub_interrupts |= (interrupt))
#define STUB_CLOCK() ((void)0)
static inline void HAL_NVIC_SetPriority(int irq, uint32_t priority, uint32_t sub) { (void)(irq + (int)priority + (int)sub); }
static inline void HAL_NVIC_EnableIRQ(int irq) { stub_interrupts |= irq == STUB_IRQN ? 2 : 0; }
static inline void HAL_PWREx_EnableVddIO2(void) {}
static inline void HAL_GPIO_Init(GPIO_TypeDef *port, GPIO_InitTypeDef *pins) { port->unused += (int)pins->Pin; }
static inline HAL_StatusTypeDef HAL_UART_Init(UART_HandleTypeDef *uart) { return uart->Init.BaudRate != 115200; }
static inline HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *uart, uint8_t *data, uint16_t size, uint32_t timeout)
{
  (void)timeout;
  host_put(data, size);
  return uart->Instance == STUB_UART ? HAL_OK : 1;
}
static inline void SCB_EnableICache(void) {}
static inline void SCB_EnableDCache(void) {}
static inline void HAL_IncTick(void) {}
static inline int HAL_Init(void) { return 0; }
static inline uint32_t HAL_GetTick(void)
{
  const int byte = stub_interrupts == 3 ? host_get(0) : -1;
  stub_dwt.CYCCNT += 100;
  if (byte >= 0) {
#ifdef STUB_OLD_UART
    stub_uart.SR = UART_FLAG_RXNE;
    stub_uart.DR = (uint32_t)byte;
#else
    stub_uart.ISR = UART_FLAG_RXNE;
    stub_uart.RDR = (uint32_t)byte;
#endif
    STUB_IRQ_HANDLER();
  }
  return (uint32_t)(host_microseconds() / 1000);
}
