import {expect} from 'chai';
import {loadTokenizer} from '../../../src/llama';
import {readProblems} from '../../../src/llama/evaluation/gsm8k';
import {readJson} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {tokenizerFiles, tokenizerFolder} from '../text/tokenizers';

interface Problem {
  question: string;
  answer: string;
}

const {solved, asked, prompts} = readJson<{
  solved: Problem[];
  asked: Problem[];
  prompts: Array<{shots: number; text: string; chat: string}>;
}>('gsm8k/prompts');

const fileOf = (problems: Problem[]): Uint8Array =>
  new TextEncoder().encode(problems.map((each) => `${JSON.stringify(each)}\n`).join(''));
const limits = {maxPositionEmbeddings: 100_000};

describe('the questions of gsm8k', () => {
  for (const shots of [0, 2]) {
    for (const chat of [false, true]) {
      it(`are those of lm-evaluation-harness, ${shots} solved before, chat: ${chat}`, async () => {
        const tokenizer = await loadTokenizer(tokenizerFolder('bytelevel'));
        const options = {shots, chat, shotsFrom: fileOf(solved)};
        const problems = await readProblems(limits, tokenizer, fileOf(asked), options);
        const expected = prompts.filter((prompt) => prompt.shots === shots);
        expect(problems.map(({ids}) => tokenizer.decode(ids))).to.deep.equal(
          expected.map((prompt) => (chat ? prompt.chat : prompt.text)),
        );
        // no token but those of the text, and those that a template writes as what they are
        expect(problems.map(({ids}) => ids)).to.deep.equal(
          expected.map((prompt) =>
            tokenizer.encode(chat ? prompt.chat : prompt.text, {addSpecialTokens: !chat}),
          ),
        );
        expect(problems.map(({number}) => number)).to.deep.equal(['-2', '30']);
      });
    }
  }

  it('are refused in a chat if there is no template, or chat is no flag', async () => {
    const config = {'tokenizer_config.json': '{}'};
    const tokenizer = await loadTokenizer(tokenizerFiles('bytelevel', config));
    const read = (chat: unknown) =>
      rejection(readProblems(limits, tokenizer, fileOf(asked), {chat: chat as boolean}));
    expect((await read(true)).message).to.match(/line 1: applyChatTemplate: .* no chat template/);
    expect((await read('yes')).message).to.equal("gsm8k: chat must be true or false; got 'yes'");
  });
});
