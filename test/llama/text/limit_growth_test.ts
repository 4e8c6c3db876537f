import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {loadTokenizer, type Tokenizer} from '../../../src/llama';
import {withShortTimeLimits} from '../../support/clock';
import {rejection} from '../../support/rejection';
import {tokenizerFiles, tokenizerFolder} from './tokenizers';

type Json = Record<string, unknown>;
const path = `${tokenizerFolder('bytelevel')}tokenizer.json`;
const json = JSON.parse(readFileSync(path, 'utf8')) as Json & {added_tokens: object[]};

const load = (changes: Json): Promise<Tokenizer> =>
  loadTokenizer(tokenizerFiles('bytelevel', {'tokenizer.json': {...json, ...changes}}));
/** A step, or a step that is so many of them. */
const times = (count: number, ...steps: object[]): object => {
  const all = Array.from({length: count}, () => steps).flat();
  return {
    type: 'Sequence',
    ...{normalizers: all, pretokenizers: all, processors: all, decoders: all},
  };
};
const replace = (pattern: object, content: string): object => ({type: 'Replace', pattern, content});
const metaspace = {type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: false};
const withoutEnds = {added_tokens: [], post_processor: null};

const GREW =
  /tokenizer\.json cannot be applied: its (normalizer|pre_tokenizer|post_processor|decoder) makes more than 200 times as much of a text as it is given; take the tokenizer of a model that you trust, or mend its steps$/;
const SEQUENCE = {Sequence: {id: 'A', type_id: 0}};
const twice = {type: 'TemplateProcessing', single: [SEQUENCE, SEQUENCE], pair: []};

describe('limitGrowth', () => {
  /** What makes more of a text with each step, each of them some thousand times as much or more in all. */
  const growing: Array<[what: string, changes: Json, text?: string]> = [
    [
      'letters that are doubled',
      {normalizer: times(16, replace({String: 'a'}, 'aa')), added_tokens: []},
    ],
    [
      'texts between all letters',
      {normalizer: times(10, replace({String: ''}, 'ab')), added_tokens: []},
    ],
    [
      'what is found nowhere',
      {normalizer: times(10, replace({Regex: 'x*'}, 'ab')), added_tokens: []},
    ],
    [
      'a character for one that Unicode takes apart',
      {normalizer: times(8, replace({String: 'ل'}, 'ﷺ'), {type: 'NFKC'})},
      'ﷺ',
    ],
    ['blanks that are doubled', {pre_tokenizer: times(16, {...metaspace, replacement: '  '})}],
    [
      'bytes of bytes',
      {pre_tokenizer: times(12, {type: 'ByteLevel', use_regex: false})},
      'é'.repeat(50),
    ],
    [
      'groups of a pattern',
      {
        pre_tokenizer: times(12, {
          ...{type: 'Split', pattern: {Regex: '((.))'}, behavior: 'Removed', invert: false},
        }),
      },
    ],
    ['a sequence twice', {post_processor: times(14, twice)}],
    [
      'a sequence a thousand times',
      {post_processor: {...twice, single: Array.from({length: 1000}, () => SEQUENCE)}},
    ],
  ];
  for (const [what, changes, text = 'hello world aaaa'] of growing) {
    it(`stops a text that grows by ${what}`, async () => {
      const {encode} = await load(changes);
      expect(() => encode(text.repeat(20))).to.throw(GREW);
      // the next text has its own limit
      expect(() => encode(text.repeat(20))).to.throw(GREW);
    });
  }

  const letters = times(14, ...Array.from('aeolhd', (c) => replace({String: c}, c + c)));
  const decoders: Record<string, object> = {
    'letters that are doubled': times(1, {type: 'ByteLevel'}, {type: 'Fuse'}, letters),
    'an end of words that is nothing': times(16, {type: 'BPEDecoder', suffix: ''}),
    'a sign for blanks that is nothing': times(16, {type: 'Metaspace', replacement: ''}),
    'a blank before each token': times(3000, {type: 'WordPiece', prefix: '', cleanup: false}),
  };
  for (const [what, decoder] of Object.entries(decoders)) {
    it(`stops a decoded text that grows by ${what}`, async () => {
      const {encode, decode} = await load({decoder});
      const ids = encode('hello world aaaa'.repeat(20));
      expect(() => decode(ids)).to.throw(GREW);
      expect(decode(ids.slice(0, 0))).to.equal('');
    });
  }

  it('stops added tokens that grow when the tokenizer is loaded', async () => {
    const added = {id: 511, content: 'aaaa', normalized: true, special: false};
    for (const step of [replace({String: 'a'}, 'aa'), replace({Regex: 'x*'}, 'aa')]) {
      const changed = {normalizer: times(16, step), added_tokens: [...json.added_tokens, added]};
      expect((await rejection(load(changed))).message).to.match(
        /^loadTokenizer: tokenizer\.json cannot be used: its normalizer makes more than 200 times as much/,
      );
    }
  });

  it('refuses steps that put long texts into others, or take pieces of no length', async () => {
    const long = 'a'.repeat(101);
    const atMost = 'must be a text of at most 100 characters; got ';
    const cases: Array<[Json, string]> = [
      [{normalizer: replace({String: 'a'}, long)}, `normalizer: content ${atMost}`],
      [{normalizer: {...replace({String: 'a'}, ''), content: [long]}}, `normalizer: content `],
      [{normalizer: times(2, {type: 'Prepend', prepend: long})}, `normalizer: prepend ${atMost}`],
      [{pre_tokenizer: {...metaspace, replacement: long}}, `pre_tokenizer: replacement ${atMost}`],
      [{decoder: replace({String: long}, 'a')}, 'decoder: pattern must be of at most 100 char'],
      [
        {decoder: replace({Regex: 'a'.repeat(10_001)}, 'a')},
        'decoder: pattern must be of at most 10000 characters',
      ],
      [
        {model: {...(json['model'] as Json), end_of_word_suffix: long}},
        `model: end_of_word_suffix ${atMost}`,
      ],
      [
        {added_tokens: [{id: 511, content: long.repeat(10)}]},
        'added_tokens: the token 511 must have at most 1000 characters; got 1010',
      ],
      ...[0, -1, 0.1, '5', undefined].map((length): [Json, string] => [
        {pre_tokenizer: {type: 'FixedLength', length}},
        'pre_tokenizer: length must be a positive integer; got ',
      ]),
    ];
    for (const [changes, reason] of cases) {
      expect((await rejection(load(changes))).message).to.include(
        `loadTokenizer: tokenizer.json cannot be used: ${reason}`,
      );
    }
  });

  it('stops models other than BPE by the clock', async () => {
    const vocab = [['<unk>', 0], ...Array.from({length: 499}, (_, i) => ['a'.repeat(i + 1), -i])];
    const wordPiece = {type: 'WordPiece', unk_token: '?', continuing_subword_prefix: ''};
    const models = [
      {type: 'Unigram', unk_id: 0, vocab},
      {...wordPiece, max_input_chars_per_word: 1e9, vocab: {'?': 0, a: 1}},
    ];
    await withShortTimeLimits(async () => {
      for (const model of models) {
        const {encode} = await load({...withoutEnds, model, pre_tokenizer: null, decoder: null});
        expect(encode('aa')).to.have.length(2);
        expect(() => encode('a'.repeat(30_000))).to.throw(
          'encode: tokenizer.json cannot be applied: it took more than 7 s and was stopped',
        );
      }
    });
  });

  it('stops a pattern that backtracks for ever in an added token', async () => {
    const added = {id: 511, content: `${'a'.repeat(60)}b`, normalized: true, special: false};
    const normalizer = replace({Regex: '(a|a)*$'}, '');
    await withShortTimeLimits(async () => {
      expect((await rejection(load({normalizer, added_tokens: [added]}))).message).to.match(
        /^loadTokenizer: tokenizer\.json cannot be used: it took more than 6 s and was stopped/,
      );
    });
  });

  /** The steps of tokenizers in use. */
  const spaced = replace({String: ' '}, '▁');
  const unspaced = replace({String: '▁'}, ' ');
  const few = replace({Regex: ' {2,}'}, ' ');
  const byteLevel = {type: 'ByteLevel', add_prefix_space: false, use_regex: false};
  const precompiled = {type: 'Precompiled', precompiled_charsmap: 'AAAA'.repeat(1000)};
  const ends = {
    ...{type: 'TemplateProcessing', pair: [], special_tokens: {}},
    single: [{SpecialToken: {id: '<s>'}}, SEQUENCE, {SpecialToken: {id: '</s>'}}],
  };
  const fallback = [{type: 'ByteFallback'}, {type: 'Fuse'}];
  const strip = {type: 'Strip', content: ' ', start: 1, stop: 0};
  const inUse: Record<string, [normalizer: object | null, preTokenizer: object, decoder: object]> =
    {
      'LLaMA 2, Mistral': [
        times(1, {type: 'Prepend', prepend: '▁'}, spaced),
        metaspace,
        times(1, unspaced, ...fallback, strip),
      ],
      Gemma: [
        spaced,
        {
          ...{type: 'Split', pattern: {String: ' '}, behavior: 'MergedWithPrevious'},
          invert: false,
        },
        times(1, unspaced, ...fallback),
      ],
      Qwen: [{type: 'NFC'}, times(1, byteLevel), byteLevel],
      'GPT-2, LLaMA 3': [null, {...byteLevel, add_prefix_space: true}, byteLevel],
      'T5, XLM-R': [
        times(1, precompiled, {type: 'Strip', strip_left: false, strip_right: true}, few),
        times(1, {type: 'WhitespaceSplit'}, metaspace),
        metaspace,
      ],
      ALBERT: [
        times(
          1,
          ...[replace({String: '``'}, '"'), replace({String: "''"}, '"')],
          ...[{type: 'NFKD'}, {type: 'StripAccents'}, {type: 'Lowercase'}, precompiled, few],
        ),
        metaspace,
        metaspace,
      ],
      BERT: [
        {type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, lowercase: true},
        {type: 'BertPreTokenizer'},
        {type: 'WordPiece', prefix: '##', cleanup: true},
      ],
    };
  for (const [name, [normalizer, preTokenizer, decoder]] of Object.entries(inUse)) {
    it(`lets the steps of ${name} do what they do with any text`, async () => {
      const bytes = Array.from({length: 256}, (_, i) => {
        return `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`;
      });
      const tokens = ['<s>', '</s>', '<unk>', ...bytes, ...Array.from('▁ abcdefghilorw')];
      const model = {type: 'BPE', merges: [], byte_fallback: true, unk_token: '<unk>'};
      const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
      const added = [{id: 0, content: '<s>', special: true}];
      const {encode, decode} = await load({
        ...{normalizer, pre_tokenizer: preTokenizer, decoder, post_processor: ends},
        ...{model: {...model, vocab}, added_tokens: added},
      });
      for (const text of ['', 'a', ' ', 'hello  world', 'é', '中', '\u0390', 'İ', '😀', 'ﷺ']) {
        for (const count of [1, 1000]) {
          const ids = encode(text.repeat(count));
          expect(ids.slice(0, 1)).to.deep.equal([0]);
          expect(decode(ids)).to.be.a('string');
        }
      }
    });
  }

  // what tokenizers 0.23.3 makes of them: '$' is a character like others
  it('replaces by a text as it is', async () => {
    const content = '$&$$1';
    const {encode, decode} = await load({
      ...{normalizer: replace({String: 'e'}, content), pre_tokenizer: null, added_tokens: []},
      decoder: times(1, {type: 'Fuse'}, replace({String: '$'}, '$&$$')),
      post_processor: null,
    });
    expect(decode(encode('hex'))).to.equal('h$&$$&$&$$$&$$1x');
  });
});
