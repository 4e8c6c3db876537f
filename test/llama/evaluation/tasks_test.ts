import {expect} from 'chai';
import {readQuestion, type ChoiceTask} from '../../../src/llama/evaluation/tasks';

/** Questions of one's own, in the formats of the tasks' files. */
const examples: Array<{
  title: string;
  task: ChoiceTask;
  fields: Record<string, unknown>;
  contexts: string[] | string;
  continuations: string[];
  answer: number;
}> = [
  {
    title: 'BoolQ',
    task: 'boolq',
    fields: {passage: 'Cats sleep a lot.', question: 'do cats sleep', answer: true},
    contexts: 'Cats sleep a lot.\nQuestion: do cats sleep?\nAnswer:',
    continuations: [' no', ' yes'],
    answer: 1,
  },
  {
    title: 'PIQA',
    task: 'piqa',
    fields: {goal: 'Warm your hands', sol1: 'Use gloves.', sol2: 'Use ice.', label: 0},
    contexts: 'Question: Warm your hands\nAnswer:',
    continuations: [' Use gloves.', ' Use ice.'],
    answer: 0,
  },
  {
    title: 'SIQA',
    task: 'siqa',
    fields: {
      context: 'Ada made soup.',
      question: 'What will she do next?',
      answerA: 'eat',
      answerB: 'swim',
      answerC: 'sing',
      label: '1',
    },
    contexts: 'Q: Ada made soup. What will she do next?\nA:',
    continuations: [' eat', ' swim', ' sing'],
    answer: 0,
  },
  {
    title: 'HellaSwag',
    task: 'hellaswag',
    fields: {
      activity_label: 'Baking',
      ctx_a: 'A man bakes bread [title] First steps [step] He waits.',
      ctx_b: 'then He',
      endings: ['eats it.', 'paints  it [substeps] blue.', 'a', 'b'],
      label: '1',
    },
    contexts: 'Baking: A man bakes bread. First steps He waits. Then he',
    continuations: [' eats it.', ' paints it blue.', ' a', ' b'],
    answer: 1,
  },
  {
    title: 'WinoGrande',
    task: 'winogrande',
    fields: {
      sentence: 'The cup is not in the box because _ is too small.',
      option1: 'the cup',
      option2: 'the box',
      answer: '2',
    },
    contexts: [
      'The cup is not in the box because the cup',
      'The cup is not in the box because the box',
    ],
    continuations: [' is too small.', ' is too small.'],
    answer: 1,
  },
  {
    title: 'ARC',
    task: 'arc',
    fields: {
      question: {
        stem: 'What is hot?',
        choices: [
          {text: 'ice', label: '1'},
          {text: 'fire', label: '2'},
        ],
      },
      answerKey: '2',
    },
    contexts: 'Question: What is hot?\nAnswer:',
    continuations: [' ice', ' fire'],
    answer: 1,
  },
  {
    title: 'ARC as the datasets library has it',
    task: 'arc',
    fields: {
      question: 'What is hot?',
      choices: {text: ['ice', 'fire'], label: ['A', 'B']},
      answerKey: 'A',
    },
    contexts: 'Question: What is hot?\nAnswer:',
    continuations: [' ice', ' fire'],
    answer: 0,
  },
  {
    title: 'OpenBookQA',
    task: 'openbookqa',
    fields: {
      question_stem: 'Ice is',
      choices: {text: ['cold', 'hot'], label: ['A', 'B']},
      answerKey: ' A',
    },
    contexts: 'Ice is',
    continuations: [' cold', ' hot'],
    answer: 0,
  },
  {
    title: 'MMLU',
    task: 'mmlu',
    fields: {
      question: ' 1 + 2 = ? ',
      choices: ['1', '2', '3', '4'],
      answer: 2,
      subject: 'elementary_mathematics',
    },
    contexts: '1 + 2 = ?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:',
    continuations: [' A', ' B', ' C', ' D'],
    answer: 2,
  },
];

describe('readQuestion', () => {
  for (const {title, task, fields, contexts, continuations, answer} of examples) {
    it(`reads ${title}`, () => {
      const question = readQuestion(task, fields);
      expect(question).to.deep.include({
        contexts: Array.isArray(contexts) ? contexts : continuations.map(() => contexts),
        continuations,
        answer,
      });
    });
  }

  it('knows the other ways in which answers are written', () => {
    const [boolq, , siqa] = examples;
    const {answer: _, ...unanswered} = boolq!.fields;
    expect(readQuestion('boolq', {...unanswered, label: 0}).answer).to.equal(0);
    expect(readQuestion('siqa', {...siqa!.fields, correct: 'C'}).answer).to.equal(2);
    const mmlu = examples.at(-1)!.fields;
    expect(readQuestion('mmlu', {...mmlu, answer: 'B'}).answer).to.equal(1);
    expect(readQuestion('mmlu', mmlu).description).to.equal(
      'The following are multiple choice questions (with answers) about elementary mathematics.\n\n',
    );
  });

  it('names what is missing or wrong', () => {
    const read = (task: ChoiceTask, fields: Record<string, unknown>) => () =>
      readQuestion(task, fields);
    expect(read('piqa', {goal: 'a', sol1: 'b'})).to.throw("there is no field 'sol2'");
    expect(read('piqa', {goal: 'a', sol1: 'b', sol2: 3, label: 0})).to.throw(
      "'sol2' must be a text",
    );
    expect(read('piqa', {goal: 'a', sol1: 'b', sol2: 'c', label: 2})).to.throw(
      'its answer is none of its 2 choices',
    );
    expect(read('piqa', {goal: 'a', sol1: 'b', sol2: 'c', label: 'x'})).to.throw(
      "'label' must be the number of an answer",
    );
    expect(read('boolq', {passage: 'a', question: 'b'})).to.throw("'answer' must be true or false");
    expect(read('winogrande', {sentence: 'a', option1: 'b', option2: 'c', answer: '1'})).to.throw(
      "'sentence' has no _",
    );
    expect(read('mmlu', {question: 'a', choices: [1, 2]})).to.throw(
      "'choices' must be a list of texts",
    );
    const question = {stem: 'a', choices: [{text: 'b', label: 'A'}]};
    expect(read('arc', {question, answerKey: 'E'})).to.throw('its answer is none of its 1 choices');
  });
});
