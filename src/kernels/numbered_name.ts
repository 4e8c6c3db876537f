/** Names with a number after them, by the name; each is made once, since a new text takes longer as a key than the rest of a look-up. */
const known = new Map<string, string[]>();

/** The name of an input that a kernel has several of. */
export function numberedName(name: string, number: number): string {
  let names = known.get(name);
  if (!names) known.set(name, (names = []));
  return (names[number] ??= `${name}${number}`);
}
