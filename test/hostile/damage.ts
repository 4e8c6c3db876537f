import fc from 'fast-check';

/** What may stand in the place of any value of a JSON file. */
const anything = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, -7, 1.5, 1e308, 4e9, 2 ** 53, '', 'a', '__proto__'),
  fc.constantFrom<unknown>('constructor', '\ud800', '(a+)+', '\u001b[2J', [], {}, [[]], [null]),
  fc.constantFrom<unknown>('x'.repeat(1000), Array<number>(1000).fill(0), '../x.safetensors'),
  fc.jsonValue({maxDepth: 3}),
);

/** Removes a value instead. */
const removed = Symbol('removed');

type Container = Record<string, unknown>;

/** Every place in a value where something can be put. */
function* placesIn(value: unknown): Generator<[container: Container, key: string]> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, part] of Object.entries(value)) {
    yield [value as Container, key];
    yield* placesIn(part);
  }
}

/** The texts of a JSON file with some of its values replaced, removed or added, or with bytes that are none of JSON's. */
export function damagedJson(valid: object): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.nat(), fc.oneof(anything, fc.constant(removed)), fc.boolean());
  const edited = fc.array(edit, {minLength: 1, maxLength: 3}).map((edits) => {
    const json = structuredClone(valid) as Container;
    for (const [place, given, isNew] of edits) {
      // a copy, into which further edits can go
      const value = given === removed ? removed : structuredClone(given);
      const places = [...placesIn(json)];
      if (places.length === 0) continue;
      const [container, key] = places[place % places.length]!;
      if (value === removed) Reflect.deleteProperty(container, key);
      else if (Array.isArray(container)) container.splice(Number(key), isNew ? 0 : 1, value);
      else container[isNew ? `${key}!` : key] = value;
    }
    return JSON.stringify(json);
  });
  const text = JSON.stringify(valid);
  const change = fc.tuple(fc.nat(text.length - 1), fc.string({maxLength: 3}));
  const broken = fc
    .array(change, {minLength: 1, maxLength: 3})
    .map((changes) =>
      changes.reduce((all, [at, part]) => all.slice(0, at) + part + all.slice(at + 1), text),
    );
  return fc.oneof({weight: 3, arbitrary: edited}, broken);
}

/** Bytes, some of which are others, or are missing at the end. */
export function damagedBytes(valid: Uint8Array): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255));
  return fc
    .tuple(fc.array(change, {maxLength: 6}), fc.option(fc.nat(valid.length)))
    .map(([changes, length]) => {
      const bytes = Uint8Array.from(valid);
      for (const [at, value] of changes) bytes[at] = value;
      return length === null ? bytes : bytes.slice(0, length);
    });
}

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

/** A safetensors file with damage in its bytes, up to a thousand behind the header, or with another header. */
export function damagedSafetensors(valid: Uint8Array): fc.Arbitrary<Uint8Array> {
  const {buffer, byteOffset} = valid;
  const end = 8 + Number(new DataView(buffer, byteOffset).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(valid.subarray(8, end)).toString()) as object;
  const withHeader = damagedJson(header).map((text) => {
    const json = bytesOf(text);
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
    return Uint8Array.from(Buffer.concat([length, json, valid.subarray(end)]));
  });
  return fc.oneof(damagedBytes(valid.slice(0, end + 1000)), withHeader);
}

/**
 * A GGUF file with damage, mostly in its header: with numbers of 4 or 8 bytes in the place of others, large or odd ones, or with bytes
 * taken out, put in or changed.
 */
export function damagedGguf(valid: Uint8Array): fc.Arbitrary<Uint8Array> {
  const text = Buffer.from(valid).toString('latin1');
  const headerEnd = text.lastIndexOf('.weight') + 60;
  const place = fc.oneof(
    {weight: 4, arbitrary: fc.nat(headerEnd)},
    // numbers stand after the names of keys and tensors
    {weight: 4, arbitrary: fc.constantFrom(...placesAfterNames(text))},
    fc.nat(valid.length - 1),
  );
  const number = fc.constantFrom(
    ...[
      0n,
      1n,
      2n,
      3n,
      7n,
      8n,
      9n,
      12n,
      255n,
      2n ** 16n,
      2n ** 31n - 1n,
      2n ** 31n,
      2n ** 32n - 1n,
    ],
    ...[2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n],
  );
  const overwritten = fc.tuple(
    place,
    fc.oneof(number, fc.bigInt(0n, 2n ** 64n - 1n)),
    fc.boolean(),
  );
  const numbers = fc.array(overwritten, {minLength: 1, maxLength: 3}).map((changes) => {
    const bytes = Buffer.from(valid);
    for (const [at, value, isLong] of changes) {
      const length = isLong ? 8 : 4;
      const from = Math.min(at, bytes.length - length);
      if (isLong) bytes.writeBigUInt64LE(value, from);
      else bytes.writeUInt32LE(Number(value % 2n ** 32n), from);
    }
    return Uint8Array.from(bytes);
  });
  const moved = fc
    .tuple(place, fc.nat(40), fc.uint8Array({maxLength: 40}))
    .map(([at, gone, put]) =>
      Uint8Array.from(Buffer.concat([valid.subarray(0, at), put, valid.subarray(at + gone)])),
    );
  return fc.oneof({weight: 3, arbitrary: numbers}, moved, damagedBytes(valid));
}

/** Where the names of keys and tensors end, and a few bytes on. */
function placesAfterNames(text: string): number[] {
  const names = [
    ...text.matchAll(/(general|tokenizer|llama|qwen2)\.[\w.]+|[\w.]+\.(weight|bias)/g),
  ];
  return names.flatMap(({0: name, index}) => {
    const end = index + name.length;
    return [index - 8, end, end + 4, end + 8, end + 12, end + 16, end + 20, end + 24, end + 28];
  });
}
