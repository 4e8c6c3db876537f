import {expect} from 'chai';
import {loadTokenizer, type Tokenizer} from '../../../../src/llama';
import {readJson} from '../../../support/fixtures';
import {rejection} from '../../../support/rejection';
import {u32} from './gguf_bytes';
import {editedGguf, fixtureOf, ggufNames, ggufPath, type Edit, type GgufName} from './fixtures';

const edited = async (name: GgufName, edit: Edit): Promise<Tokenizer> =>
  loadTokenizer({'t.gguf': await editedGguf(name, edit)});

describe('tokenizers in GGUF files', () => {
  for (const name of ggufNames) {
    it(`give ids and texts as transformers', made of the same file: ${name}`, async () => {
      const {strings, special, chat, config} = fixtureOf(name);
      const tokenizer = await loadTokenizer(ggufPath(name));
      for (const {text, ids, decoded = text} of strings) {
        expect(tokenizer.encode(text), JSON.stringify(text)).to.deep.equal(ids);
        expect(tokenizer.decode(ids), JSON.stringify(text)).to.equal(decoded);
      }
      expect(tokenizer.vocabSize).to.equal(config['vocab_size']);
      expect(tokenizer.bosTokenId).to.equal(config['bos_token_id']);
      expect(tokenizer.eosTokenId).to.equal(config['eos_token_id']);
      const pad = special['pad_token'];
      const padId = pad == null ? null : tokenizer.encode(pad, {addSpecialTokens: false})[0];
      expect(tokenizer.padTokenId).to.equal(padId);
      expect(tokenizer.hasChatTemplate).to.equal(chat !== undefined);
      if (!chat) return;
      const options = {tokenize: false, addGenerationPrompt: true} as const;
      expect(tokenizer.applyChatTemplate(chat.messages, options)).to.equal(chat.text);
    });
  }

  const {pre} = readJson<{pre: Record<string, number[][]>}>('gguf/llama_cpp');
  for (const [name, all] of Object.entries(pre)) {
    it(`split texts into words as llama.cpp does: ${name}`, async () => {
      const tokenizer = await edited('qwen2', {keys: {'tokenizer.ggml.pre': name}});
      for (const [i, ids] of all.entries()) {
        const {text} = fixtureOf('qwen2').strings[i]!;
        expect(tokenizer.encode(text), JSON.stringify(text)).to.deep.equal(ids);
      }
    });
  }

  it('without a name for their words split as those with the name default', async () => {
    const tokenizer = await edited('qwen2', {keys: {'tokenizer.ggml.pre': undefined}});
    const texts = fixtureOf('qwen2').strings.map(({text}) => text);
    const ids = texts.slice(0, -1).map((text) => tokenizer.encode(text));
    expect(ids).to.deep.equal(pre['default']);
  });

  it('put tokens around a text where the file says so, or llama.cpp would', async () => {
    const bos = 'tokenizer.ggml.add_bos_token';
    const eos = 'tokenizer.ggml.add_eos_token';
    const {bosTokenId, eosTokenId, encode} = await loadTokenizer(ggufPath('qwen2'));
    const plain = encode('the');
    const all = await edited('qwen2', {keys: {[bos]: true, [eos]: true}});
    expect(all.encode('the')).to.deep.equal([bosTokenId, ...plain, eosTokenId]);
    const pre = {'tokenizer.ggml.pre': 'llama-bpe'};
    const llama3 = await edited('qwen2', {keys: {...pre, [bos]: undefined}});
    expect(llama3.encode('the')).to.deep.equal([bosTokenId, ...plain]);
    const without = await edited('llama', {keys: {[bos]: false}});
    expect(without.encode('the')).to.deep.equal(
      (await loadTokenizer(ggufPath('llama'))).encode('the').slice(1),
    );
  });

  it('put no blank before a text where the file says so', async () => {
    const tokenizer = await edited('llama', {keys: {'tokenizer.ggml.add_space_prefix': false}});
    const ids = tokenizer.encode('the', {addSpecialTokens: false});
    expect(tokenizer.decode(ids)).to.equal('the');
    expect(ids).not.to.deep.equal(
      (await loadTokenizer(ggufPath('llama'))).encode('the', {addSpecialTokens: false}),
    );
  });

  const wrong: Array<[string, GgufName, Edit, RegExp]> = [
    [
      'of another kind',
      'qwen2',
      {keys: {'tokenizer.ggml.model': 'bert'}},
      /tokenizer\.ggml\.model must be "gpt2" \(byte-level\) or "llama" .*; got "bert"/,
    ],
    [
      'with unknown words',
      'qwen2',
      {keys: {'tokenizer.ggml.pre': 'viking'}},
      /tokenizer\.ggml\.pre "viking" is not known, .*; known are default, gpt-2, .*qwen2/,
    ],
    [
      'without tokens',
      'qwen2',
      {keys: {'tokenizer.ggml.tokens': undefined}},
      /lacks the key tokenizer\.ggml\.tokens/,
    ],
    [
      'with a token twice',
      'qwen2',
      {
        keys: {
          'tokenizer.ggml.tokens': {list: ['a', 'b', 'a']},
          'tokenizer.ggml.token_type': undefined,
        },
      },
      /tokens has "a" twice, at 0 and 2/,
    ],
    [
      'with too few types',
      'qwen2',
      {keys: {'tokenizer.ggml.token_type': {list: [u32(1)]}}},
      /token_type has 1 values, but tokenizer\.ggml\.tokens has 323/,
    ],
    [
      'without scores',
      'llama',
      {keys: {'tokenizer.ggml.scores': undefined}},
      /lacks the key tokenizer\.ggml\.scores/,
    ],
    [
      'without merges',
      'qwen2',
      {keys: {'tokenizer.ggml.merges': undefined}},
      /lacks the key tokenizer\.ggml\.merges/,
    ],
    [
      'with a merge of three',
      'qwen2',
      {keys: {'tokenizer.ggml.merges': {list: ['a b c']}}},
      /two tokens with a space between them; got "a b c"/,
    ],
    [
      'with numbers for texts',
      'qwen2',
      {keys: {'tokenizer.ggml.merges': {list: [u32(1)]}}},
      /merges must be a list of texts; got \[1\]/,
    ],
    [
      'with an end that is none',
      'qwen2',
      {keys: {'tokenizer.ggml.eos_token_id': u32(5000)}},
      /eos_token_id is 5000, but there are 323 tokens only/,
    ],
    [
      'with more tokens than rows',
      'qwen2',
      {keys: {'tokenizer.ggml.tokens': {list: Array.from({length: 400}, (_, i) => `${i}`)}}},
      /tokens has 400 tokens, but "token_embd\.weight" has rows for 323 only/,
    ],
  ];
  for (const [title, name, edit, message] of wrong) {
    it(`are refused ${title}`, async () => {
      const error = await rejection(edited(name, edit));
      expect(error.message)
        .to.match(message)
        .and.match(/^loadTokenizer: t\.gguf: /);
    });
  }

  it('are not needed for a model', async () => {
    const keys = {'tokenizer.ggml.model': undefined, 'tokenizer.ggml.tokens': undefined};
    const error = await rejection(edited('qwen2', {keys}));
    expect(error.message).to.match(/^loadTokenizer: there is no tokenizer\.json in t\.gguf/);
  });
});
