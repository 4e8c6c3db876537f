import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {preTokenizers} from '../../../src/llama/files/gguf/pre_tokenizers';
import {areKnownPatterns} from '../../../src/llama/text/known_patterns';
import {TOKENIZER_NAMES, tokenizerFolder} from './tokenizers';

describe('areKnownPatterns', () => {
  it('knows those of the tokenizers that tests load', () => {
    for (const name of TOKENIZER_NAMES) {
      const json = readFileSync(`${tokenizerFolder(name)}tokenizer.json`, 'utf8');
      expect(areKnownPatterns(JSON.parse(json)), name).to.equal(true);
    }
  });

  it('knows those by which GGUF files split texts', () => {
    for (const [name, {patterns}] of Object.entries(preTokenizers)) {
      const parts = patterns.map((Regex) => ({pattern: {Regex}}));
      expect(areKnownPatterns(parts), name).to.equal(true);
    }
  });

  it('finds one that it does not know, however deep', () => {
    const split = (Regex: unknown) => ({type: 'Split', pattern: {Regex}, behavior: 'Isolated'});
    const inSequence = (part: object) => [null, {type: 'Sequence', pretokenizers: [part]}];
    expect(areKnownPatterns(inSequence(split('\\s+')))).to.equal(true);
    for (const other of ['(a+)+', '', 5, null]) {
      expect(areKnownPatterns(inSequence(split(other)))).to.equal(false);
    }
    expect(areKnownPatterns({pattern: {String: '(a+)+'}})).to.equal(true);
  });
});
