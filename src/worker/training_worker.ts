/** The worker that a page starts. */
import {serve} from './serve';

const emit = serve(self);

// a page hears of what is warned of as well
const {warn} = console;
console.warn = (...args: unknown[]) => {
  emit('warning', {text: args.map(String).join(' ')});
  warn.apply(console, args);
};
