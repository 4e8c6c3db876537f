/** The sections of a WebAssembly module (WebAssembly 2.0, 5.5.2). */
export interface Section {
  id: number;
  /** Where its contents start and end. */
  start: number;
  end: number;
}

export const SECTION = {import: 2, memory: 5, export: 7, start: 8, data: 11, dataCount: 12};

export function readSections(bytes: Uint8Array): Section[] {
  const sections: Section[] = [];
  let position = 8; // after the magic number and the version
  while (position < bytes.length) {
    const id = bytes[position]!;
    const [size, start] = readNumber(bytes, position + 1);
    position = start + size;
    sections.push({id, start, end: position});
  }
  return sections;
}

/** An unsigned LEB128 number, and where the next thing starts. */
export function readNumber(bytes: Uint8Array, position: number): [value: number, next: number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[position++]!;
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return [value, position];
  }
}
