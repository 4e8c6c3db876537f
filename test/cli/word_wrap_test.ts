import {expect} from 'chai';
import fc from 'fast-check';
import {WordWrap} from '../../src/cli/word_wrap';

/** A text that came in pieces. */
function wrapped(columns: number, ...pieces: string[]): string {
  const wrap = new WordWrap(() => columns);
  return pieces.map((piece) => wrap.push(piece)).join('') + wrap.flush();
}

describe('WordWrap', () => {
  it('breaks lines between words, whatever the pieces are', () => {
    expect(wrapped(11, 'one two ', 'th', 'ree four')).to.equal('one two\nthree four');
    expect(wrapped(11, 'one two three four')).to.equal('one two\nthree four');
    expect(wrapped(11, 'a\n\n  b  c')).to.equal('a\n\n  b  c');
  });

  it('gives a word as soon as its end is known', () => {
    const wrap = new WordWrap(() => 20);
    expect(['on', 'e', ' two', '\n'].map((piece) => wrap.push(piece))).to.deep.equal([
      ...['', '', 'one', ' two\n'],
    ]);
  });

  it('breaks within a word only if it is longer than a line, and after wide characters', () => {
    expect(wrapped(6, 'ab abcdefghij')).to.equal('ab\nabcde\nfghij');
    expect(wrapped(6, '日本語日本')).to.equal('日本\n語日\n本');
  });

  it('changes nothing but blanks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({unit: fc.constantFrom('a', 'bc', ' ', '\n', '鯨', '.')})),
        fc.integer({min: 2, max: 12}),
        (pieces, columns) => {
          const plain = (text: string): string => text.replace(/\s/g, '');
          expect(plain(wrapped(columns, ...pieces))).to.equal(plain(pieces.join('')));
        },
      ),
    );
  });
});
