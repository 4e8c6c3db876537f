import type {Random} from '../../common/random';

/**
 * The items in random order, as far as a buffer of `size` items goes: each item that comes out is
 * drawn from the buffer, and the next one takes its place. With a buffer as large as the stream every
 * order is equally likely.
 */
export async function* shuffled<T>(
  items: AsyncIterable<T>,
  size: number,
  random: Random,
): AsyncGenerator<T> {
  const buffer: T[] = [];
  const draw = (): number => Math.floor(random.next() * buffer.length);
  for await (const item of items) {
    if (buffer.length < size) {
      buffer.push(item);
      continue;
    }
    const i = draw();
    yield buffer[i]!;
    buffer[i] = item;
  }
  while (buffer.length > 0) {
    const i = draw();
    const last = buffer.pop()!;
    // the drawn item is the last one itself, or is replaced by the last one
    yield i === buffer.length ? last : buffer.splice(i, 1, last)[0]!;
  }
}
