/**
 * A text without the numbers of layers and models that tfjs has named, such as `dense_Dense3`, `sequential_2` and `model4`: it counts
 * those that a program has made of each class.
 */
export function withoutLayerNumbers(text: string): string {
  // With the lookbehind a stranger's name of many digits takes no longer than another one.
  return text.replace(/\b([a-z\d_]+_[A-Z][A-Za-z\d]*?(?<!\d)|sequential_|model)\d+\b/g, '$1');
}
