/** Another service, which the shop in the scene asks: it counts what was paid, each payment once. */
import { int, protocol, request, service, state } from 'lich';

export default service('bank', {
  state: state({ taken: int }),
  protocol: protocol({ charge: request({ amount: int }, { taken: int }) }),
  on: {
    charge({ state }, { amount }) {
      state.taken += amount;
      return { taken: state.taken };
    },
  },
});
