/** `size` bfloat16 at `packed` as float32 at `y`: the bits of each become the upper half of a number. */
export function unpackBfloat16(packed: usize, size: i32, y: usize): void {
  const zero = i16x8.splat(0);
  let i = 0;
  for (; i + 8 <= size; i += 8) {
    const halves = v128.load(packed + ((<usize>i) << 1));
    const to = y + ((<usize>i) << 2);
    v128.store(to, v128.shuffle<u16>(zero, halves, 0, 8, 0, 9, 0, 10, 0, 11));
    v128.store(to, v128.shuffle<u16>(zero, halves, 0, 12, 0, 13, 0, 14, 0, 15), 16);
  }
  for (; i < size; i++) {
    store<u32>(y + ((<usize>i) << 2), (<u32>load<u16>(packed + ((<usize>i) << 1))) << 16);
  }
}
