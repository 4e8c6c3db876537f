import type {SourceFile} from '../../../files/source';

/** Bytes read at a time; a string that is longer is read at once. */
const CHUNK_BYTES = 2 ** 20;

/** Numbers and texts of a file, front to back, of which a part is in memory. */
export class ByteReader {
  private view: DataView = new DataView(new ArrayBuffer(0));
  /** Where `view` begins in the file, and the place in it of the next byte. */
  private start = 0;
  private at = 0;

  /** @param owner The beginning of messages: which function reads which file. */
  constructor(
    readonly owner: string,
    private readonly file: SourceFile,
  ) {}

  /** The place in the file of the next byte. */
  get position(): number {
    return this.start + this.at;
  }

  /** Bytes of the file that are left. */
  get left(): number {
    return this.file.size - this.position;
  }

  /**
   * Sees to it that the next bytes are in memory, so that they can be taken; if they are already, it does not wait.
   *
   * @param what What they are, for a message.
   * @throws if the file ends before.
   */
  need(bytes: number, what: string): Promise<void> | undefined {
    if (this.at + bytes <= this.view.byteLength) return undefined;
    return this.load(bytes, what);
  }

  private async load(bytes: number, what: string): Promise<void> {
    if (bytes > this.left) {
      throw new Error(
        `${this.owner}: the file ends at byte ${this.file.size}, within ${what}, which takes ${bytes} bytes from ` +
          `byte ${this.position} on; get the file once more, it is damaged or cut off`,
      );
    }
    const from = this.position;
    const to = Math.min(from + Math.max(bytes, CHUNK_BYTES), this.file.size);
    const chunk = await this.file.read(from, to);
    this.view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.start = from;
    this.at = 0;
  }

  /** Bytes that are in memory; a view. */
  bytes(count: number): Uint8Array {
    const {buffer, byteOffset} = this.view;
    return new Uint8Array(buffer, byteOffset + this.take(count), count);
  }

  uint8(): number {
    return this.view.getUint8(this.take(1));
  }

  int8(): number {
    return this.view.getInt8(this.take(1));
  }

  uint16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  int16(): number {
    return this.view.getInt16(this.take(2), true);
  }

  uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  int32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  float32(): number {
    return this.view.getFloat32(this.take(4), true);
  }

  /** As a number, which is not exact beyond 2⁵³. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  int64(): number {
    return Number(this.view.getBigInt64(this.take(8), true));
  }

  float64(): number {
    return this.view.getFloat64(this.take(8), true);
  }

  private take(bytes: number): number {
    this.at += bytes;
    return this.at - bytes;
  }
}
