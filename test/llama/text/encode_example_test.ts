import {expect} from 'chai';
import fc from 'fast-check';
import {loadTokenizer, type ChatMessage, type Tokenizer} from '../../../src/llama';
import {encodeExample} from '../../../src/llama/text/encode_example';
import {readExample, type Example} from '../../../src/llama/text/formats';
import {thorough} from '../../support/backends';
import {fuzz} from '../../support/fuzz';
import {TOKENIZER_NAMES, tokenizerFiles, tokenizerFolder} from './tokenizers';

const conversation = [
  {role: 'system', content: 'be kind'},
  {role: 'user', content: 'the small cat?'},
  {role: 'assistant', content: 'sees the house'},
  {role: 'user', content: 'and then'},
  {role: 'assistant', content: 'rests 😀'},
];

/** A chat of user and assistant in turns. */
function chatOf(contents: readonly string[], hasSystem = false): ChatMessage[] {
  const turns = contents.map((content, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content,
  }));
  return hasSystem ? [{role: 'system', content: 'be kind'}, ...turns] : turns;
}

/** What the loss counts of an example, as text, one entry a run of tokens. */
function learnedTexts(tokenizer: Tokenizer, value: unknown, learnPrompts = false): string[] {
  const {ids, isLearned} = encodeExample(
    readExample(value, {format: 'auto'}),
    tokenizer,
    learnPrompts,
  );
  const runs: number[][] = [];
  ids.forEach((id, i) => {
    if (!isLearned[i]) return;
    if (i === 0 || !isLearned[i - 1]) runs.push([]);
    runs.at(-1)!.push(id);
  });
  return runs.map((run) => tokenizer.decode(run));
}

describe('encodeExample', () => {
  it('learns of a chat that begins with the assistant nothing that its template writes before', async () => {
    const system =
      "{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nbe kind<|im_end|>\n{% endif %}";
    const chatTemplate =
      `{% for m in messages %}${system}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}` +
      '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';
    const tokenizer = await loadTokenizer(tokenizerFolder('bytelevel'), {chatTemplate});
    for (const content of ['hello', 'a tree', ' and then', '']) {
      const first = {role: 'assistant', content};
      const answer = `${content}<|im_end|>\n`;
      expect(learnedTexts(tokenizer, {messages: [first]})).to.deep.equal([answer]);
      const others = [
        {role: 'user', content: 'hi'},
        {role: 'assistant', content: 'yo'},
      ];
      const messages = [first, ...others];
      expect(learnedTexts(tokenizer, {messages})).to.deep.equal([answer, 'yo<|im_end|>\n']);
    }
  });

  for (const name of TOKENIZER_NAMES) {
    describe(name, () => {
      let tokenizer: Tokenizer;
      let end: string;
      before(async () => {
        tokenizer = await loadTokenizer(tokenizerFolder(name));
        end = tokenizer.decode([tokenizer.eosTokenId!]);
      });

      it('learns all of a text and its end', () => {
        const {ids, isLearned} = encodeExample(
          {format: 'text', text: 'the house'},
          tokenizer,
          false,
        );
        expect(ids).to.deep.equal([...tokenizer.encode('the house'), tokenizer.eosTokenId]);
        expect(isLearned.every(Boolean)).to.equal(true);
      });

      it('learns the answer to an instruction and its end, and nothing else', () => {
        const value = {instruction: 'name it', input: 'a tree', output: 'the tall tree'};
        expect(learnedTexts(tokenizer, value)).to.deep.equal([`the tall tree${end}`]);
        const prompt = tokenizer.decode(
          encodeExample(readExample(value, {format: 'alpaca'}), tokenizer, false).ids,
          {skipSpecialTokens: true},
        );
        expect(prompt).to.match(/### Input:\na tree\n\n### Response:the tall tree$/);
      });

      it('learns the answer to a prompt, with a template as a turn and without one as a text', () => {
        const value = {question: 'the small cat?', answer: 'sees the house'};
        const asChat = encodeExample(
          readExample(value, {format: 'auto', hasChatTemplate: true}),
          tokenizer,
          false,
        );
        expect(asChat).to.deep.equal(
          encodeExample({format: 'chat', messages: conversation.slice(1, 3)}, tokenizer, false),
        );
        expect(learnedTexts(tokenizer, value)).to.deep.equal([`sees the house${end}`]);
      });

      it('learns of a chat no answer before the first that may be learned', () => {
        const learned = (from: number): number =>
          encodeExample(
            {format: 'chat', messages: conversation, from},
            tokenizer,
            false,
          ).isLearned.indexOf(true);
        const [, , , , last] = conversation;
        const before = tokenizer.applyChatTemplate(conversation.slice(0, 4), {
          addGenerationPrompt: true,
        });
        expect(last!.role).to.equal('assistant');
        expect(learned(0)).to.be.below(before.length - 1);
        expect(learned(3)).to.be.within(before.length - 1, before.length);
        expect(() => learned(5)).to.throw("no message has the role 'assistant'");
      });

      it('learns the turns of the assistant, as its template ends them', () => {
        const turns = learnedTexts(tokenizer, {messages: conversation});
        const [before, after] = name === 'llama2like' ? [' ', end] : ['', '<|im_end|>\n'];
        const expected = ['sees the house', 'rests 😀'].map((text) => before + text + after);
        // ▁ of the first turn is in a run of its own, where decoding strips it
        if (name === 'llama2like') {
          expected.forEach((text, i) => (expected[i] = text.slice(1)));
        }
        expect(turns).to.deep.equal(expected);
        expect(
          encodeExample({format: 'chat', messages: conversation}, tokenizer, false).ids,
        ).to.deep.equal(tokenizer.applyChatTemplate(conversation));
      });

      it('tokenizes no more than is needed, and to the same tokens', () => {
        const word = fc.oneof(
          fc.constantFrom(' the', ' cat', 'house', ' ', '\n\n', '😀', '12345', '!?', '</s>', '<s>'),
          fc.string({unit: 'grapheme', maxLength: 8}),
        );
        const text = fc
          .array(word, {minLength: 1, maxLength: 30})
          .map((words) => words.join('').trim().repeat(40) || 'x');
        const example = fc.oneof(
          text.map((all): Example => ({format: 'text', text: all})),
          fc
            .tuple(text, text)
            .map(([prompt, answer]): Example => ({format: 'prompt-completion', prompt, answer})),
          fc.array(text, {minLength: 2, maxLength: 8}).map((contents): Example => ({
            format: 'chat',
            messages: contents.map((content, i) => ({
              role: i % 2 === 0 ? 'user' : 'assistant',
              content,
            })),
          })),
        );
        fc.assert(
          fc.property(example, fc.integer({min: 2, max: 40}), (given, max) => {
            const all = encodeExample(given, tokenizer, false);
            const start = encodeExample(given, tokenizer, false, max);
            expect(start.ids.slice(0, max)).to.deep.equal(all.ids.slice(0, max));
            expect(start.isLearned.slice(0, max)).to.deep.equal(all.isLearned.slice(0, max));
            if (start.isCut) expect(all.ids.length).to.be.above(start.ids.length);
          }),
          fuzz(40),
        );
      });

      it('tokenizes kilobytes of an example of megabytes', () => {
        let characters = 0;
        const counted: Tokenizer = {
          ...tokenizer,
          encode: (text, options) => {
            characters += text.length;
            return tokenizer.encode(text, options);
          },
        };
        const long = 'the small cat sees the house. '.repeat(100_000);
        const messages = Array.from({length: 6}, (_, i) => ({
          role: i % 2 === 0 ? 'user' : 'assistant',
          content: long.slice(0, 500_000),
        }));
        for (const example of [
          {format: 'text', text: long},
          {format: 'prompt-completion', prompt: long, answer: long},
          {format: 'chat', messages},
        ] as const) {
          const {ids, isCut} = encodeExample(example, counted, false, 512);
          expect([ids.length, isCut]).to.deep.equal([512, true]);
        }
        expect(characters).to.be.below(100_000);
      });

      it('finds the turns of a long chat by their neighbours, where they are by all before them', () => {
        const content = fc.oneof(
          fc
            .array(fc.constantFrom(' the', ' cat', 'house', ' ', '\n\n', '😀', '12345', '!?'), {
              minLength: 1,
              maxLength: 12,
            })
            .map((words) => words.join('')),
          fc.string({unit: 'grapheme', minLength: 1, maxLength: 8}),
          fc.constantFrom('the small cat sees the house. '.repeat(20), '<s>', '</s> a', 'x'),
        );
        const chat = fc.tuple(fc.boolean(), fc.array(content, {minLength: 2, maxLength: 40}));
        fc.assert(
          fc.property(
            chat.map(([hasSystem, contents]) => chatOf(contents, hasSystem)),
            fc.constantFrom(Infinity, 100),
            (messages, max) => {
              const encode = (longest: number) =>
                encodeExample({format: 'chat', messages}, tokenizer, false, max, longest);
              expect(encode(0)).to.deep.equal(encode(Infinity));
            },
          ),
          fuzz(thorough ? 60 : 20),
        );
      });

      const itOnce = thorough || name === TOKENIZER_NAMES[0] ? it : it.skip;
      itOnce('reads a chat of hundreds of turns in proportion to its length', () => {
        const cost = (turns: number): number => {
          let characters = 0;
          const counted: Tokenizer = {
            ...tokenizer,
            encode: (text, options) => {
              characters += text.length;
              return tokenizer.encode(text, options);
            },
            applyChatTemplate: ((messages: ChatMessage[], options: {tokenize: false}) => {
              const text = tokenizer.applyChatTemplate(messages, options);
              characters += text.length;
              return text;
            }) as Tokenizer['applyChatTemplate'],
          };
          const contents = Array.from({length: turns}, (_, i) => `the cat ${i} sees the house`);
          encodeExample({format: 'chat', messages: chatOf(contents)}, counted, false, Infinity, 0);
          return characters;
        };
        expect(cost(480)).to.be.below(4.2 * cost(120));
      });

      it('learns prompts too if it is told to', () => {
        for (const value of [{messages: conversation}, {instruction: 'x', output: 'y'}]) {
          expect(learnedTexts(tokenizer, value, true)).to.have.length(1);
        }
      });
    });
  }

  it('does not end a text twice where the tokenizer ends it', async () => {
    const config = {bos_token: '<s>', eos_token: '</s>', add_bos_token: true, add_eos_token: true};
    const tokenizer = await loadTokenizer(
      tokenizerFiles('llama2like', {'tokenizer_config.json': config}),
    );
    const {ids} = encodeExample({format: 'text', text: 'the'}, tokenizer, false);
    expect(ids.filter((id) => id === tokenizer.eosTokenId)).to.have.length(1);
    const value = {instruction: 'x', output: 'the house'};
    expect(learnedTexts(tokenizer, value)).to.deep.equal(['the house</s>']);
  });

  it('learns all answers where a template writes something before the last one alone, as that of Qwen 3 its thoughts', async () => {
    const thoughts =
      "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}";
    const template =
      `{% for m in messages %}<|im_start|>{{ m.role }}\n${thoughts}{{ m.content }}<|im_end|>\n{% endfor %}` +
      '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';
    const tokenizer = await loadTokenizer(
      tokenizerFiles('bytelevel', {'chat_template.jinja': template}),
    );
    const contents = Array.from({length: 24}, (_, i) => `${' '.repeat(i % 3)}turn ${i}`);
    for (const count of [2, 4, 24]) {
      const messages = chatOf(contents.slice(0, count));
      const answers = contents.slice(0, count).filter((_, i) => i % 2 === 1);
      const expected = answers.map((text) => `${text}<|im_end|>\n`);
      expected.push(`<think>\n\n</think>\n\n${expected.pop()}`);
      expect(learnedTexts(tokenizer, {messages}), `${count} turns`).to.deep.equal(expected);
      const byNeighbours = encodeExample({format: 'chat', messages}, tokenizer, false, Infinity, 0);
      expect(byNeighbours).to.deep.equal(encodeExample({format: 'chat', messages}, tokenizer, false, Infinity, Infinity)); // prettier-ignore
    }
  });

  it('refuses a chat without an answer, and a template that rewrites earlier turns', async () => {
    const tokenizer = await loadTokenizer(tokenizerFolder('bytelevel'));
    const encode = (tokenizer: Tokenizer, count: number) => () =>
      encodeExample({format: 'chat', messages: conversation.slice(0, count)}, tokenizer, false);
    expect(encode(tokenizer, 2)).to.throw("no message has the role 'assistant'");
    const template =
      '{% for m in messages %}{{ m.content }}{% if loop.last %}.{% else %};{% endif %}{% endfor %}';
    const changing = await loadTokenizer(
      tokenizerFiles('bytelevel', {'chat_template.jinja': template}),
    );
    expect(encode(changing, 5)).to.throw('writes the turns before message 3 otherwise');
    const many = (count: number) => chatOf(Array.from({length: count}, () => 'x'));
    const numbered = await loadTokenizer(
      tokenizerFiles('bytelevel', {
        'chat_template.jinja':
          '{% for m in messages %}{{ loop.index }}: {{ m.content }};{% endfor %}',
      }),
    );
    // each turn is written otherwise among fewer
    const encodeMany = (count: number, longest: number) =>
      encodeExample({format: 'chat', messages: many(count)}, numbered, false, Infinity, longest);
    expect(encodeMany(20, 0)).to.deep.equal(encodeMany(20, Infinity));
    expect(() => encodeMany(300, 0)).to.throw('writes the turns before message 10 otherwise');
  });
});
