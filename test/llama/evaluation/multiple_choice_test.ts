import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {
  createLlama,
  gsm8k,
  loadTokenizer,
  logLikelihoods,
  multipleChoice,
  type DataSource,
  type Gsm8kOptions,
  type MultipleChoiceOptions,
  type Tokenizer,
} from '../../../src/llama';
import {encodeContinuation} from '../../../src/llama/evaluation/encode_continuation';
import {encodePrompt} from '../../../src/llama/text/example_prompt';
import {readJson} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {FileServer} from '../../files/file_server';
import {tokenizerFiles, tokenizerFolder} from '../text/tokenizers';
import {itAtLength} from '../../support/backends';

const fileOf = (lines: readonly unknown[]): Uint8Array =>
  new TextEncoder().encode(lines.map((line) => JSON.stringify(line)).join('\n'));

let tokenizer: Tokenizer;
let model: tfl.LayersModel;

/** A model of random weights, for which some answers are more probable than others. */
async function setUp(): Promise<void> {
  tokenizer = await loadTokenizer(tokenizerFolder('llama3like'));
  model = createLlama({
    vocabSize: tokenizer.vocabSize,
    hiddenSize: 16,
    intermediateSize: 16,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
    maxPositionEmbeddings: 400,
    initializerRange: 0.5,
    seed: 3,
  });
}

describe('multipleChoice', () => {
  before(setUp);
  after(() => {
    model.dispose();
  });

  const questions = Array.from({length: 6}, (_, i) => ({
    goal: `the cat ${i}`,
    sol1: 'sees',
    sol2: 'rests in the small house',
    label: i % 2,
  }));

  it('gives the answer that is the most probable one, in all and per character', async () => {
    const before = tf.memory().numTensors;
    const answersBy = async (perCharacter: boolean) => {
      const answers: number[] = [];
      for (const {goal, sol1, sol2} of questions) {
        const prompt = tokenizer.encode(`Question: ${goal}\nAnswer:`);
        const values: number[] = [];
        for (const answer of [sol1, sol2]) {
          const all = tokenizer.encode(`Question: ${goal}\nAnswer: ${answer}`);
          const continuation = all.slice(prompt.length);
          const [found] = await logLikelihoods(model, [{context: prompt, continuation}]);
          values.push(found!.logLikelihood / (perCharacter ? answer.length : 1));
        }
        answers.push(values[0]! >= values[1]! ? 0 : 1);
      }
      return answers;
    };
    const rightOf = (answers: number[]) =>
      answers.filter((answer, i) => answer === questions[i]!.label).length / questions.length;
    const [plain, normalized] = [await answersBy(false), await answersBy(true)];
    // otherwise the test could not tell them apart
    expect(plain).to.not.deep.equal(normalized);

    const done: number[] = [];
    const score = await multipleChoice(model, tokenizer, fileOf(questions), {
      task: 'piqa',
      onProgress: (count, total) => done.push(count / total),
    });
    const accuracy = rightOf(normalized);
    expect(score).to.deep.equal({
      task: 'piqa',
      questions: 6,
      accuracy: rightOf(plain),
      normalizedAccuracy: accuracy,
      standardError: Math.sqrt((accuracy * (1 - accuracy)) / 5),
      answers: normalized,
    });
    expect(done).to.deep.equal([1, 2, 3, 4, 5, 6].map((count) => count / 6));
    for (const batchSize of [1, 4]) {
      const options = {task: 'piqa', batchSize} as const;
      expect(await multipleChoice(model, tokenizer, fileOf(questions), options)).to.deep.equal(
        score,
      );
    }
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('counts characters as code points', async () => {
    const [goal, sol1, sol2] = ['the cat 1', '猫猫猫', '😀😀😀😀😀😀'];
    const prompt = tokenizer.encode(`Question: ${goal}\nAnswer:`);
    const requests = [sol1, sol2].map((answer) => ({
      context: prompt,
      continuation: tokenizer.encode(`Question: ${goal}\nAnswer: ${answer}`).slice(prompt.length),
    }));
    const [one, two] = (await logLikelihoods(model, requests)).map(
      ({logLikelihood}) => logLikelihood,
    );
    // otherwise the test could not tell code points from UTF-16 units
    expect(two! / 12, `${one!} ${two!}`).to.be.above(one! / 3);
    expect(two! / 6).to.be.below(one! / 3);
    const lines = fileOf([{goal, sol1, sol2, label: 0}]);
    const {answers} = await multipleChoice(model, tokenizer, lines, {task: 'piqa'});
    expect(answers).to.deep.equal([0]);
  });

  it('names the answer for which the logits are not finite', async () => {
    const layer = model.getLayer('model.embed_tokens');
    const good = tf.clone(layer.getWeights()[0]!);
    // a token that is in second answers alone, and not their last one, which the model does not see
    const [first, second] = [1, 2].map((number) => {
      const row = questions[0]! as unknown as Record<string, string>;
      return tokenizer.encode(`Question: ${row.goal}\nAnswer: ${row[`sol${number}`]}`);
    });
    const id = second!.slice(0, -1).find((each) => !first!.includes(each))!;
    expect(id).to.be.a('number');
    const spoiled = tf.tidy(() => {
      const isSpoiled = tf.reshape(tf.equal(tf.range(0, good.shape[0]), id), [-1, 1]);
      return tf.where(isSpoiled, NaN, good);
    });
    layer.setWeights([spoiled]);
    const ask = multipleChoice(model, tokenizer, fileOf(questions), {task: 'piqa', batchSize: 1});
    const {message} = await rejection(ask);
    layer.setWeights([good]);
    tf.dispose([spoiled, good]);
    expect(message).to.equal(
      "multipleChoice: answer 2 of question 1: the model's logits are not finite; are its weights?",
    );
  });

  /** A tokenizer that notes down what it is given. */
  function spyOn(seen: string[]): Tokenizer {
    return {
      ...tokenizer,
      encode: (text, options) => {
        seen.push(text);
        return tokenizer.encode(text, options);
      },
    };
  }

  it('puts description and solved examples before a question', async () => {
    const seen: string[] = [];
    const spy = spyOn(seen);
    const mmlu = (question: string, answer: number) => ({
      question,
      choices: ['a', 'b', 'c', 'd'],
      answer,
      subject: 'high_school_physics',
    });
    await multipleChoice(model, spy, fileOf([mmlu('q?', 0), mmlu('unasked', 0)]), {
      task: 'mmlu',
      shots: 2,
      shotsFrom: fileOf([mmlu('one?', 1), mmlu('two?', 3), mmlu('three?', 0)]),
      limit: 1,
    });
    const choices = 'A. a\nB. b\nC. c\nD. d\nAnswer:';
    expect(seen[0]).to.equal(
      'The following are multiple choice questions (with answers) about high school physics.\n\n' +
        `one?\n${choices} B\n\ntwo?\n${choices} D\n\nq?\n${choices} A`,
    );
    expect(seen.join()).to.not.include('unasked');
  });

  itAtLength("asks the questions of MMLU's csv files as those of its jsonl files", async () => {
    const name = 'algebra_in_small_test.csv';
    const path = fileURLToPath(new URL(`../../fixtures/mmlu/${name}`, import.meta.url));
    const {rows} = readJson<{rows: Array<{fields: string[]}>}>('mmlu/algebra_in_small_test');
    const lines = rows.map(({fields: [question, ...others]}) => ({
      question,
      choices: others.slice(0, 4),
      answer: others[4],
      subject: 'algebra_in_small',
    }));
    const bytes = readFileSync(path);
    const asked = async (source: DataSource, shotsFrom: DataSource) => {
      const seen: string[] = [];
      const options = {task: 'mmlu', shots: 1, shotsFrom} as const;
      return {score: await multipleChoice(model, spyOn(seen), source, options), seen};
    };
    const expected = await asked(fileOf(lines), fileOf(lines));
    expect(expected.score.questions).to.equal(6);
    expect(expected.seen[0]).to.include('(with answers) about algebra in small.\n\nWhat is 2 + 3');
    expect(await asked(path, path)).to.deep.equal(expected);
    const dev = new File([bytes], 'algebra_in_small_dev.CSV');
    expect(await asked(new File([bytes], name), dev)).to.deep.equal(expected);
    const server = await FileServer.start(new Map([[name, bytes]]));
    try {
      expect(await asked(`${server.url}/${name}?raw=1`, fileOf(lines))).to.deep.equal(expected);
    } finally {
      await server.close();
    }
  });

  it('gives space at the end of a context to the continuation', () => {
    const {context, continuation} = encodeContinuation(tokenizer, 'the ', 'small');
    expect(tokenizer.decode(context)).to.equal('<s>the');
    expect(tokenizer.decode(continuation)).to.equal(' small');
  });

  it('takes the end that some tokenizers add for a part of neither', async () => {
    const path = `${tokenizerFolder('bytelevel')}tokenizer_config.json`;
    const json = JSON.parse(readFileSync(path, 'utf8')) as object;
    const load = (addEnd: boolean) =>
      loadTokenizer(
        tokenizerFiles('bytelevel', {
          'tokenizer_config.json': {...json, add_bos_token: false, add_eos_token: addEnd},
        }),
      );
    const [plain, ending] = [await load(false), await load(true)];
    expect(ending.encode('the')).to.deep.equal([...plain.encode('the'), ending.eosTokenId]);
    expect(encodeContinuation(ending, 'the', ' small')).to.deep.equal(
      encodeContinuation(plain, 'the', ' small'),
    );
    // unless it stands there
    const end = '<|im_end|>';
    expect(encodePrompt(ending, `the${end}`).at(-1)).to.equal(ending.eosTokenId);
  });

  it('names what is wrong', async () => {
    const messageOf = async (lines: unknown[], options: object) =>
      (
        await rejection(
          // what a caller without types may pass
          multipleChoice(model, tokenizer, fileOf(lines), options as MultipleChoiceOptions),
        )
      ).message;
    const [question] = questions;
    expect(await messageOf([question, {goal: 1}], {task: 'piqa'})).to.equal(
      "multipleChoice: the data: line 2: 'goal' must be a text",
    );
    expect(await messageOf([['x']], {task: 'piqa'})).to.equal(
      'multipleChoice: the data: line 1: a question must be an object; got "x"',
    );
    expect(await messageOf([], {task: 'piqa'})).to.equal('multipleChoice: the data is empty');
    const messageOfCsv = async (text: BlobPart, task: 'mmlu' | 'piqa' = 'mmlu') => {
      const file = new File([text], 'x_test.csv');
      return (await rejection(multipleChoice(model, tokenizer, file, {task}))).message;
    };
    expect(await messageOfCsv('q,a,b,c,d,A\n"q\n2",a,b,c,A\n')).to.equal(
      'multipleChoice: x_test.csv: line 2: a row must have 6 fields (question, A, B, C, D, answer); got 5',
    );
    expect(await messageOfCsv('\n\nquestion,A,B,C,D,answer\n')).to.equal(
      "multipleChoice: x_test.csv: line 3: the answer must be A, B, C or D; got 'answer'",
    );
    expect(await messageOfCsv('q,a,b,c,d,A\n"q,a,b,c,d,A\n')).to.equal(
      'multipleChoice: x_test.csv: line 2: a quote is opened and never closed',
    );
    expect(await messageOfCsv('\n')).to.equal('multipleChoice: x_test.csv has no questions');
    expect(await messageOfCsv(Uint8Array.of(0xff))).to.equal(
      'multipleChoice: x_test.csv: line 1: it is not UTF-8; save it as UTF-8',
    );
    expect(await messageOfCsv('goal,sol1,sol2,label\na,b,c,5', 'piqa')).to.equal(
      'multipleChoice: x_test.csv: line 2: its answer is none of its 2 choices',
    );
    expect(await messageOf([question], {task: 'copa'})).to.include('task must be one of');
    expect(await messageOf([question], {task: 'piqa', batchSize: 0})).to.equal(
      'multipleChoice: batchSize must be an integer >= 1; got 0',
    );
    expect(await messageOf([question], {task: 'piqa', shots: 1})).to.equal(
      'multipleChoice: shots 1 needs shotsFrom, a file',
    );
    expect(
      await messageOf([question], {task: 'piqa', shots: 2, shotsFrom: fileOf([question])}),
    ).to.equal('multipleChoice: shots is 2, but shotsFrom has only 1 examples');
  });
});

describe('gsm8k', () => {
  before(setUp);
  after(() => {
    model.dispose();
  });

  const problems = [
    {question: 'Two and two?', answer: 'It is <<2+2=4>>4.\n#### 4'},
    {question: 'A thousand and one?', answer: 'So many.\n#### 1,001'},
    {question: 'Two less five?', answer: 'Minus three.\n#### -3'},
  ];

  /** A model that writes given texts, token by token, until it is stopped. */
  function writing(texts: string[]) {
    const prompts: string[] = [];
    const generate: NonNullable<Gsm8kOptions['generate']> = async (_, prompt, options) => {
      prompts.push(tokenizer.decode(prompt, {skipSpecialTokens: true}));
      const ids: number[] = [];
      for (const id of tokenizer.encode(texts[prompts.length - 1]!, {addSpecialTokens: false})) {
        ids.push(id);
        if ((await options?.onToken?.(id, ids, 0)) === false) return {ids, finishReason: 'onToken'};
      }
      return {ids, finishReason: 'length'};
    };
    return {generate, prompts};
  }

  it('compares the number behind ####, without commas and a full stop', async () => {
    const {generate, prompts} = writing([
      ' Two and two is four.\n#### 4.',
      ' #### 1001\n\nQuestion: and so on #### 5',
      ' three',
    ]);
    const score = await gsm8k(model, tokenizer, fileOf(problems), {generate});
    expect(score.answers).to.deep.equal(['4', '1001', null]);
    expect(score.exactMatch).to.equal(2 / 3);
    expect(prompts[0]).to.equal('Question: Two and two?\nAnswer:');
  });

  it('does not read on where the model asks itself a question', async () => {
    const {generate} = writing([' Hm. Question: 5? #### 4']);
    const score = await gsm8k(model, tokenizer, fileOf(problems), {generate, limit: 1});
    expect(score.answers).to.deep.equal([null]);
  });

  it('reads on after an empty line, up to the end of a message', async () => {
    const {generate} = writing([
      ' Two\n\nand two. #### 4',
      ' Hm.<|im_end|> #### 1001',
      ' </s> #### -3',
    ]);
    const score = await gsm8k(model, tokenizer, fileOf(problems), {generate});
    expect(score.answers).to.deep.equal(['4', null, null]);
  });

  it('puts solved examples before a question', async () => {
    const {generate, prompts} = writing(['']);
    await gsm8k(model, tokenizer, fileOf(problems), {
      generate,
      limit: 1,
      shots: 1,
      shotsFrom: fileOf(problems.slice(1)),
    });
    expect(prompts[0]).to.equal(
      'Question: A thousand and one?\nAnswer: So many.\n#### 1,001\n\nQuestion: Two and two?\nAnswer:',
    );
  });

  it('writes with the model by itself, and leaves no tensor', async () => {
    const before = tf.memory().numTensors;
    const score = await gsm8k(model, tokenizer, fileOf(problems), {limit: 1, maxNewTokens: 3});
    expect(score).to.deep.equal({
      questions: 1,
      exactMatch: 0,
      standardError: 0,
      answers: [null],
    });
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('names what is wrong', async () => {
    const messageOf = async (lines: unknown[], options: Gsm8kOptions = {}) =>
      (await rejection(gsm8k(model, tokenizer, fileOf(lines), options))).message;
    expect(await messageOf([{question: 'a', answer: 'b'}])).to.equal(
      "gsm8k: the data: line 1: 'answer' has no number behind ####",
    );
    expect(await messageOf([{question: 'a'}])).to.equal(
      "gsm8k: the data: line 1: 'question' and 'answer' must be texts",
    );
    // before the first question is asked
    const long = {question: 'and '.repeat(400), answer: '#### 1'};
    const {generate, prompts} = writing(['', '']);
    expect(await messageOf([...problems.slice(0, 2), long], {generate, maxNewTokens: 8})).to.match(
      /^gsm8k: the data: line 3: the question has \d+ tokens with its examples; with maxNewTokens 8 that is more/,
    );
    expect(prompts).to.deep.equal([]);
  });
});
