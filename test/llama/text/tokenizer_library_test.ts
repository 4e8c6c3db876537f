import {readFileSync} from 'node:fs';
import {Tokenizer as LibraryTokenizer} from '@huggingface/tokenizers';
import {expect} from 'chai';
import {createRandom} from '../../../src/common/random';
import {loadTokenizer} from '../../../src/llama';
import {tokenizerFiles, tokenizerFolder} from './tokenizers';

interface Json {
  model: {vocab: Record<string, number>};
  added_tokens: object[];
}

describe('createLibraryTokenizer', () => {
  const added = [
    {content: '<Special>', special: true},
    {content: '<Plain>', special: false},
    {content: '<As Written>', special: false, normalized: false},
    {content: '<Special, normalized>', special: true, normalized: true},
    {content: 'é ', lstrip: true},
  ];
  for (const name of ['bytelevel', 'llama3like'] as const) {
    const json = JSON.parse(readFileSync(`${tokenizerFolder(name)}tokenizer.json`, 'utf8')) as Json;
    const first = Math.max(...Object.values(json.model.vocab)) + 1;
    const withAdded = {
      ...json,
      added_tokens: [...json.added_tokens, ...added.map((token, i) => ({id: first + i, ...token}))],
    };
    const {vocab} = json.model;
    const {model} = withAdded;
    for (const [what, changed] of Object.entries<object>({
      'the same': {},
      'a decoder in a sequence': {decoder: {type: 'Sequence', decoders: [{type: 'ByteLevel'}]}},
      'no decoder': {decoder: null},
      'ends of words': {model: {...model, vocab: {...vocab}, end_of_word_suffix: 'e'}},
      'a normalizer': {normalizer: {type: 'Lowercase'}},
    })) {
      it(`gives what the library alone gives of added tokens: ${name}, ${what}`, async () => {
        const file = {...withAdded, ...changed};
        const library = new LibraryTokenizer({normalizer: null, ...structuredClone(file)}, {});
        const {encode, decode} = await loadTokenizer(
          tokenizerFiles(name, {'tokenizer.json': file, 'tokenizer_config.json': null}),
        );
        const random = createRandom(1);
        const below = (count: number): number => Math.floor(random.next() * count);
        for (let round = 0; round < 200; round++) {
          // one in three is an added token
          const ids = Array.from({length: 1 + below(12)}, () =>
            below(3) > 0 ? below(first) : first + below(added.length),
          ).filter((id) => library.id_to_token(id) !== undefined);
          if (ids.length === 0) continue;
          for (const skip of [false, true]) {
            const expected = library.decode(ids, {
              skip_special_tokens: skip,
              clean_up_tokenization_spaces: false,
            });
            expect(decode(ids, {skipSpecialTokens: skip}), ids.join()).to.equal(expected);
          }
          const pieces = [
            ...added.map(({content}) => content),
            ' a ',
            'The ',
            '<special>',
            '<plain>',
            '<as written>',
          ];
          const text = Array.from({length: 5}, () => pieces[below(pieces.length)]!).join('');
          expect(encode(text), text).to.deep.equal(library.encode(text).ids);
        }
      });
    }
  }
});
