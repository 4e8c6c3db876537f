/** `tfjs-owlore chat`: a conversation with a model. */
import {ChatInput} from './chat_input';
import {defineCommand, type Context} from './command';
import {Conversation, type Answer} from './conversation';
import {loadModel, openModel, openRecommended, writerOptions} from './model_options';
import {group, number, text} from './options';
import {chosenSampling, describeSpeed, samplingOptions, unusedSampling} from './sampling_options';
import {UsageError} from './usage_error';

const options = {
  ...writerOptions,
  ...group('Conversation', {
    system: text('what the model is told before the conversation', '<text>'),
    maxNewTokens: number(
      'most tokens of an answer (default: as many as the model has positions left)',
      {integer: true, min: 1},
    ),
    ...samplingOptions,
  }),
};

export const chat = defineCommand({
  name: 'chat',
  summary: 'Talks with a model.',
  examples: [
    [
      'in a terminal',
      "chat --model run/model --temperature 0.7 --system 'Answer in one sentence.'",
    ],
    ['a line of stdin is a message', 'chat --model run/model < messages.txt'],
  ],
  options,
  meaningless: unusedSampling,
  async run(settings, context) {
    const opened = await openModel(settings, context);
    if (!opened.tokenizer.hasChatTemplate) {
      throw new UsageError(
        `chat: the tokenizer of ${settings.model} has no chat template, so the model was not trained to talk; ` +
          "'tfjs-owlore generate' continues a text with it, and --chat-template takes a template",
      );
    }
    const ofModel = await openRecommended(opened, context);
    const sampling = chosenSampling(settings, ofModel, context);
    const loaded = await loadModel(
      settings,
      opened,
      context,
      {frozenDtype: settings.frozenDtype},
      // keys and values of what was said are kept, so that only a message is read for an answer
      {texts: 1, promptTokens: 0, newTokens: settings.maxNewTokens ?? Infinity},
    );
    try {
      const conversation = new Conversation(loaded, {...settings, sampling});
      try {
        return {...(await talk(conversation, context)), backend: loaded.backend};
      } finally {
        conversation.dispose();
      }
    } finally {
      loaded.model.dispose();
    }
  },
});

const HELP = [
  '/reset   begins a new conversation',
  '/exit    leaves, as Ctrl-D does',
  '/help    shows this',
  'Ctrl-C   ends the answer that is coming, or leaves',
];

/** Answers each line until no other comes. */
async function talk(
  conversation: Conversation,
  {console, stdin, interruption}: Context,
): Promise<object> {
  const {terminal} = console;
  const isTyped = terminal !== null && stdin.isTTY === true;
  const input = new ChatInput(stdin, isTyped ? terminal : null, () =>
    interruption.receive('SIGINT'),
  );
  if (isTyped) console.print('/help lists what else you can type; Ctrl-D leaves.\n');
  const total = {answers: 0, tokens: 0, seconds: 0};
  try {
    for (let line = await input.next(); line !== null; line = await input.next()) {
      const message = line.trim();
      if (message === '') continue;
      if (message === '/exit') break;
      if (/^\/\w+$/.test(message)) {
        obey(message, conversation, console.note.bind(console));
        if (isTyped) console.print();
        continue;
      }
      const output = console.startText();
      const start = performance.now();
      const answer = await interruption.endPart((signal) =>
        conversation.say(message, signal, (piece) => output.write(piece)),
      );
      if (answer.newTokens > 0) {
        output.end();
        total.answers++;
        total.tokens += answer.newTokens;
        total.seconds += (performance.now() - start) / 1000;
      }
      const remark = remarkOn(answer, conversation.positions);
      if (remark !== null) console.note(remark);
      if (isTyped) console.print();
    }
  } finally {
    input.close();
  }
  const {answers, tokens, seconds} = total;
  const counts = `${answers} answer${answers === 1 ? '' : 's'}, ${tokens} tokens`;
  if (answers > 0) console.note(describeSpeed(counts, tokens, seconds));
  return {messages: conversation.messages, ...total};
}

function obey(command: string, conversation: Conversation, note: (line: string) => void): void {
  if (command === '/reset') {
    conversation.reset();
    note('(a new conversation)');
  } else if (command === '/help') {
    for (const line of HELP) note(line);
  } else {
    note(`(there is no command ${command}; /help lists them)`);
  }
}

/** What is to be said about an answer that did not come to its end. */
function remarkOn({end, promptTokens}: Answer, positions: number): string | null {
  switch (end) {
    case 'stop':
      return null;
    case 'length':
      return '(cut off; --max-new-tokens allows no more)';
    case 'full':
      return `(cut off: the ${positions} tokens that the model can take are used up; /reset begins a new conversation)`;
    case 'interrupted':
      return '(stopped)';
    case 'unanswered':
      return '(stopped before the answer began; your message is forgotten)';
    case 'too long':
      return (
        `(not sent: with your message the conversation has ${promptTokens} tokens, and the model takes fewer than ` +
        `${positions}; say it in fewer words, or begin a new conversation by /reset)`
      );
  }
}
