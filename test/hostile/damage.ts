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
