/**
 * Questions of the usual tasks, from a line of their files to what the model reads. The wording is that of
 * lm-evaluation-harness (github.com/EleutherAI/lm-evaluation-harness, `lm_eval/tasks/<task>`), so that
 * results can be compared.
 */

/** A question with several answers, one of which is right. */
export interface Question {
  /** The text before each answer; all are the same unless the text contains the answer. */
  contexts: string[];
  /** The answers, as they follow the contexts. */
  continuations: string[];
  /** Index of the right answer, from 0. */
  answer: number;
  /** A text that comes once before the examples and the question; default none. */
  description?: string;
}

export const CHOICE_TASKS = [
  'boolq',
  'piqa',
  'siqa',
  'hellaswag',
  'winogrande',
  'arc',
  'openbookqa',
  'mmlu',
] as const;

/** A task with several answers; `'arc'` is ARC-Easy and ARC-Challenge, which have the same form. */
export type ChoiceTask = (typeof CHOICE_TASKS)[number];

type Fields = Record<string, unknown>;

/**
 * The question in a line of a task's file.
 *
 * @throws if a field is missing or is not what the task has there; the message is meant to follow the line's number.
 */
export function readQuestion(task: ChoiceTask, fields: Fields): Question {
  const question = READERS[task](fields);
  const {answer, continuations} = question;
  if (Number.isInteger(answer) && answer >= 0 && answer < continuations.length) return question;
  throw new Error(`its answer is none of its ${continuations.length} choices`);
}

const READERS: Readonly<Record<ChoiceTask, (fields: Fields) => Question>> = {
  boolq: (fields) => {
    const {answer, label} = fields;
    const isTrue = answer ?? label;
    if (typeof isTrue !== 'boolean' && isTrue !== 0 && isTrue !== 1) {
      throw new Error("'answer' must be true or false, or 'label' 1 or 0");
    }
    return sameContext(
      `${text(fields, 'passage')}\nQuestion: ${text(fields, 'question')}?\nAnswer:`,
      ['no', 'yes'],
      Number(isTrue),
    );
  },

  piqa: (fields) =>
    sameContext(
      `Question: ${text(fields, 'goal')}\nAnswer:`,
      [text(fields, 'sol1'), text(fields, 'sol2')],
      number(fields, 'label'),
    ),

  siqa: (fields) =>
    sameContext(
      `Q: ${text(fields, 'context')} ${text(fields, 'question')}\nA:`,
      ['answerA', 'answerB', 'answerC'].map((name) => text(fields, name)),
      'correct' in fields ? 'ABC'.indexOf(text(fields, 'correct')) : number(fields, 'label') - 1,
    ),

  hellaswag: (fields) => {
    const second = text(fields, 'ctx_b', true);
    const capitalized = second.charAt(0).toUpperCase() + second.slice(1).toLowerCase();
    const context = `${text(fields, 'activity_label')}: ${text(fields, 'ctx_a')} ${capitalized}`;
    const endings = texts(fields, 'endings').map(withoutWikiHowMarks);
    return sameContext(withoutWikiHowMarks(context), endings, number(fields, 'label'));
  },

  winogrande: (fields) => {
    const sentence = text(fields, 'sentence');
    const blank = sentence.indexOf('_');
    if (blank < 0) throw new Error("'sentence' has no _");
    const rest = ` ${sentence.slice(blank + 1).trim()}`;
    return {
      contexts: ['option1', 'option2'].map((name) => sentence.slice(0, blank) + text(fields, name)),
      continuations: [rest, rest],
      answer: number(fields, 'answer') - 1,
    };
  },

  arc: (fields) => {
    const {stem, choices, answer} = labelledChoices(fields, 'question');
    return sameContext(`Question: ${stem}\nAnswer:`, choices, answer);
  },

  openbookqa: (fields) => {
    const {stem, choices, answer} = labelledChoices(fields, 'question_stem');
    return sameContext(stem, choices, answer);
  },

  mmlu: (fields) => {
    const choices = texts(fields, 'choices');
    const letters = choices.map((_, i) => 'ABCDEFGHIJ'.charAt(i));
    const lines = choices.map((choice, i) => `${letters[i]}. ${choice}`).join('\n');
    const {answer} = fields;
    const subject = text(fields, 'subject', true).replaceAll('_', ' ');
    return {
      ...sameContext(
        `${text(fields, 'question').trim()}\n${lines}\nAnswer:`,
        letters,
        typeof answer === 'string' && /^[A-J]$/.test(answer)
          ? letters.indexOf(answer)
          : number(fields, 'answer'),
      ),
      description:
        'The following are multiple choice questions (with answers)' +
        `${subject === '' ? '' : ` about ${subject}`}.\n\n`,
    };
  },
};

/** One context for all choices; the answer follows it after a space. */
function sameContext(context: string, choices: readonly string[], answer: number): Question {
  return {
    contexts: choices.map(() => context),
    continuations: choices.map((choice) => ` ${choice}`),
    answer,
  };
}

/** Removes bracketed marks, which are left from the pages that a part of HellaSwag was made from. */
function withoutWikiHowMarks(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[.*?\]/g, '')
    .replaceAll('  ', ' ');
}

/**
 * Choices with labels and the label of the right one, as AI2 publishes them (`{question: {stem, choices:
 * [{text, label}, …]}, answerKey}`) and as the `datasets` library has them (`{<stemField>, choices: {text:
 * […], label: […]}, answerKey}`).
 */
function labelledChoices(
  fields: Fields,
  stemField: string,
): {stem: string; choices: string[]; answer: number} {
  const question = fields['question'];
  const isNested = typeof question === 'object' && question !== null;
  const source = isNested ? (question as Fields) : fields;
  const stem = text(source, isNested ? 'stem' : stemField);
  const listed = source['choices'];
  const byName = Array.isArray(listed)
    ? {
        text: listed.map((choice) => (choice as Fields | null)?.['text']),
        label: listed.map((choice) => (choice as Fields | null)?.['label']),
      }
    : ((listed ?? {}) as Fields);
  const answer = texts(byName, 'label').indexOf(text(fields, 'answerKey').trim());
  return {stem, choices: texts(byName, 'text'), answer};
}

function text(fields: Fields, name: string, mayBeMissing = false): string {
  const value = fields[name];
  if (typeof value === 'string') return value;
  if (value === undefined && mayBeMissing) return '';
  throw new Error(value === undefined ? `there is no field '${name}'` : `'${name}' must be a text`);
}

function texts(fields: Fields, name: string): string[] {
  const value = fields[name];
  if (Array.isArray(value) && value.length > 0 && value.every((part) => typeof part === 'string')) {
    return value;
  }
  throw new Error(`'${name}' must be a list of texts`);
}

/** A number, which some files have as text. */
function number(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value))) {
    return Number(value);
  }
  throw new Error(`'${name}' must be the number of an answer`);
}
