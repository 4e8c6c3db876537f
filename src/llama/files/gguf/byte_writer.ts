/** Numbers and texts, one after the other, in memory that grows. */
export class ByteWriter {
  private view = new DataView(new ArrayBuffer(2 ** 16));
  private at = 0;
  private readonly encoder = new TextEncoder();

  /** All bytes so far; a view. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.view.buffer, 0, this.at);
  }

  uint8(value: number): void {
    const at = this.take(1);
    this.view.setUint8(at, value);
  }

  uint32(value: number): void {
    const at = this.take(4);
    this.view.setUint32(at, value, true);
  }

  int32(value: number): void {
    const at = this.take(4);
    this.view.setInt32(at, value, true);
  }

  float32(value: number): void {
    const at = this.take(4);
    this.view.setFloat32(at, value, true);
  }

  uint64(value: number): void {
    const at = this.take(8);
    this.view.setBigUint64(at, BigInt(value), true);
  }

  /** A text in UTF-8, after the number of its bytes. */
  text(value: string): void {
    const bytes = this.encoder.encode(value);
    this.uint64(bytes.length);
    const at = this.take(bytes.length);
    new Uint8Array(this.view.buffer).set(bytes, at);
  }

  /** Zeros up to a multiple of `alignment`. */
  align(alignment: number): void {
    this.take((alignment - (this.at % alignment)) % alignment);
  }

  /** The place of bytes that come next, in a view that may be another one from then on. */
  private take(count: number): number {
    const at = this.at;
    this.at += count;
    const {buffer} = this.view;
    if (this.at > buffer.byteLength) {
      const larger = new Uint8Array(Math.max(2 * buffer.byteLength, this.at));
      larger.set(new Uint8Array(buffer, 0, at));
      this.view = new DataView(larger.buffer);
    }
    return at;
  }
}
