import {styleText} from 'node:util';

/** A text in bold or dim letters. The caller checks that the stream can show them. */
export function style(as: 'bold' | 'dim', text: string): string {
  return styleText(as, text, {validateStream: false});
}
