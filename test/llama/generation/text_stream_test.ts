import {expect} from 'chai';
import {TextStream} from '../../../src/llama/generation/text_stream';
import {loadTokenizer, type Tokenizer} from '../../../src/llama';
import {TOKENIZER_NAMES, tokenizerFolder} from '../text/tokenizers';

/** The pieces in which a text comes, a token each, with what the end brings. */
function pieces(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  ids: readonly number[],
  stops: readonly string[] = [],
): {pieces: string[]; stream: TextStream; read: number} {
  const stream = new TextStream(tokenizer, prompt, stops);
  const all: string[] = [];
  let read = 0;
  for (const id of ids) {
    read++;
    all.push(stream.push(id));
    if (stream.isStopped) break;
  }
  all.push(stream.end());
  return {pieces: all, stream, read};
}

for (const name of TOKENIZER_NAMES) {
  describe(`TextStream, ${name}`, () => {
    let tokenizer: Tokenizer;
    before(async () => void (tokenizer = await loadTokenizer(tokenizerFolder(name))));

    for (const [prompt, text] of [
      ['The captain', ' of the ship, at 12 o’clock: “Naïve!”'],
      ['x', ' 🐋🐳 鯨\n\n  two  spaces '],
      ['🐋', '🐳é'],
      ['a longer prompt that has many more tokens than are looked back to', 'and on'],
    ] as const) {
      it(`gives ${JSON.stringify(text)} piece by piece, as it is decoded as a whole`, () => {
        const before = tokenizer.encode(prompt);
        const ids = tokenizer.encode(prompt + text).slice(before.length);
        const whole = tokenizer.decode([...before, ...ids], {skipSpecialTokens: true});
        const context = tokenizer.decode(before, {skipSpecialTokens: true});
        const {pieces: all, stream} = pieces(tokenizer, before, ids);
        expect(context + all.join('')).to.equal(whole);
        expect(stream.text).to.equal(all.join(''));
        expect(all.join('')).not.to.include('\uFFFD');
        expect(all.filter(Boolean).length).to.be.greaterThan(1);
      });
    }

    it('leaves out special tokens', () => {
      const ids = [...tokenizer.encode('whale', {addSpecialTokens: false}), tokenizer.eosTokenId!];
      expect(pieces(tokenizer, tokenizer.encode('a'), ids).stream.text.trim()).to.equal('whale');
    });
  });
}

describe('TextStream', () => {
  let tokenizer: Tokenizer;
  let prompt: number[];
  before(async () => {
    tokenizer = await loadTokenizer(tokenizerFolder('bytelevel'));
    prompt = tokenizer.encode('so');
  });

  const run = (text: string, stops: readonly string[]) =>
    pieces(tokenizer, prompt, tokenizer.encode(text), stops);

  it('ends before the first of its stops', () => {
    const {pieces: all, stream, read} = run(' one, two; three. four', ['; three', '. f']);
    expect(all.join('')).to.equal(' one, two');
    expect([stream.text, stream.isStopped]).to.deep.equal([' one, two', true]);
    expect(read).to.be.below(tokenizer.encode(' one, two; three. four').length);
  });

  it('holds back what may be the start of a stop, and gives it if it is none', () => {
    const {pieces: all, stream} = run('a##b##', ['###']);
    expect(stream.isStopped).to.equal(false);
    expect(all.join('')).to.equal('a##b##');
    expect(all.at(-1)).to.equal('##');
  });

  it('finds a stop that lies across tokens', () => {
    const ids = ['ab', '<e', 'n', 'd>', 'c'].flatMap((part) => tokenizer.encode(part));
    const {pieces: all, stream} = pieces(tokenizer, prompt, ids, ['<end>']);
    expect([all.join(''), stream.text, stream.isStopped]).to.deep.equal(['ab', 'ab', true]);
  });

  it('ends before the one that begins first, of two that come at once', () => {
    const ids = ['x', 'a', 'b', 'c'].flatMap((part) => tokenizer.encode(part));
    for (const stops of [
      ['ab', 'b'],
      ['b', 'ab'],
    ]) {
      expect(pieces(tokenizer, prompt, ids, stops).stream.text).to.equal('x');
    }
  });

  it('gives bytes that are no character at the end only', () => {
    const [first] = tokenizer.encode('é').length > 1 ? tokenizer.encode('é') : [];
    const half = first ?? tokenizer.encode('🐋')[0]!;
    const {pieces: all} = pieces(tokenizer, prompt, [...tokenizer.encode('a'), half]);
    expect(all).to.deep.equal(['a', '', '\uFFFD']);
  });
});

describe('TextStream', () => {
  it('takes more stops than a call can have arguments', async () => {
    const tokenizer = await loadTokenizer(tokenizerFolder(TOKENIZER_NAMES[0]));
    const ids = tokenizer.encode('the cat sat');
    const stops = Array.from({length: 200_000}, (_, i) => `x${i}`);
    const {pieces: all} = pieces(tokenizer, [], ids, stops);
    const {pieces: none} = pieces(tokenizer, [], ids);
    expect(all.join('')).to.equal(none.join(''));
  });
});
