"""Where the serial port of an STM32 board ends, for firmware that talks to ST's HAL and has no framework to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_ST_LINK = "It is the virtual COM port of the board's ST-LINK."


@dataclass(frozen=True)
class Uart:
    """A UART by the HAL's names. port, tx, rx: GPIO port and pin numbers.

    alternate: the pins' alternate function, empty on STM32F1, which has none. old: the registers of STM32F1 and F4
    (SR, DR) instead of the later ones (ISR, RDR, ICR). vddio2: the port's supply has to be switched on. where: what
    the pins lead to, a sentence for the emitted file.
    """

    instance: str
    port: str
    tx: int
    rx: int
    alternate: str
    old: bool = False
    vddio2: bool = False
    where: str = _ST_LINK

    @property
    def pins(self) -> str:
        """Both pins as the data sheet writes them: `PA2 and PA3`."""
        letter = self.port.removeprefix("GPIO")
        return f"P{letter}{self.tx} and P{letter}{self.rx}"


# Sources: ST's manuals of the boards (UM1724 Nucleo-64, UM1974 and UM2407 Nucleo-144, UM2179 Nucleo-144 L4+), and the
# same pins as zephyr,console in Zephyr's boards/st/*/*.dts.
UARTS: Mapping[str, Uart] = MappingProxyType({
    "bluepill_f103c8": Uart("USART1", "GPIOA", 9, 10, "", old=True,
                            where="The board has no serial converter: join one to these pins, crossed, and to ground."),
    "nucleo_f446re": Uart("USART2", "GPIOA", 2, 3, "GPIO_AF7_USART2", old=True),
    "nucleo_f746zg": Uart("USART3", "GPIOD", 8, 9, "GPIO_AF7_USART3"),
    "nucleo_h743zi": Uart("USART3", "GPIOD", 8, 9, "GPIO_AF7_USART3"),
    "nucleo_l4r5zi": Uart("LPUART1", "GPIOG", 7, 8, "GPIO_AF8_LPUART1", vddio2=True),
})  # fmt: skip
