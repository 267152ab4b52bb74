from worldmodel_trading.market.arrays import spread


def test_rows_are_spread_evenly_and_go_round_again():
    assert spread(3, 11).tolist() == [0, 5, 10]
    assert spread(5, 2).tolist() == [0, 1, 0, 1, 0]
