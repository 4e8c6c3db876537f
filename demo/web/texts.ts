/** The built-in texts, by the names of their files. */
export const texts = {
  'moby-dick': 'Moby-Dick',
  'state-of-the-union': 'State of the Union',
} as const;

export type TextName = keyof typeof texts;

export function isTextName(name: string): name is TextName {
  return Object.hasOwn(texts, name);
}
